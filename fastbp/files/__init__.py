"""What is read from files and written to them: models and tables."""
