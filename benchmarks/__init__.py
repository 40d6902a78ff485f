"""
What this provider costs, beside what users would take instead: ``python -m benchmarks``, or ``make bench``.

A subject a module: imports, one_pod, configuration, database, parsing, many_pods, deferred. Each gives figures (figures.py), which
report.py makes docs/BENCHMARKS.md and its picture of. Whom it compares, and with which settings, is in peers.py; how large it is,
in sizes.py. The rest are the instruments: counting_proxy, played_pods, cluster, process_tree, one_task, slots, trigger_runner.
"""
