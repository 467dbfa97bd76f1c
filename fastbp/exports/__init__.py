"""What a network becomes elsewhere: files and programs of other libraries and languages, and networks read back from them."""
