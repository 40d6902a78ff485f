"""
The cost of this provider, compared with what users would use instead: ``python -m benchmarks``, or ``make bench``.

There is one module for each subject: imports, one_pod, configuration, database, parsing, many_pods, deferred. Each yields figures
(figures.py); report.py turns them into docs/BENCHMARKS.md and its picture. peers.py has the compared operators and their settings,
sizes.py the sizes. The other modules are instruments: counting_proxy, played_pods, cluster, process_tree, one_task, slots,
trigger_runner.
"""
