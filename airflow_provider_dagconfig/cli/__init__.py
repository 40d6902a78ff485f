"""
``airflow dagconfig``: the commands of the configuration store, one module for each subject. They parse, ask and print; the store
does the work. Airflow loads definition.py for each of its own commands.
"""
