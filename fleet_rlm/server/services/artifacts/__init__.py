"""Files that runs made."""
