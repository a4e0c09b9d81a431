"""What is kept on this computer, how much room it takes, and what is removed after a while."""
