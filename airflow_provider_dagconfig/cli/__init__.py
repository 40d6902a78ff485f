"""
``airflow dagconfig``: the commands of the configuration store, a module a thing. They parse, ask and print; what they do is in
hooks/ and migrate.py. definition.py is what Airflow loads for each of its own commands.
"""
