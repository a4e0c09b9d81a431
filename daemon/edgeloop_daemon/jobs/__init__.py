"""Long work: jobs, their supervisors and their logs."""
