"""Parts of dodo.py's declarations: to run a script, to keep the record, to tell what has changed."""
