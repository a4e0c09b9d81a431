"""What is kept on disk: the database, blobs and the folders they live in."""
