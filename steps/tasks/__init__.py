"""What dodo.py's declarations are made of: running a script, keeping the record, telling what has changed."""
