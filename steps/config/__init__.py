"""The YAML files in conf/: their schema and how they are read."""
