"""All Faust and Kafka mechanics: lanes of batches, exactly once.

A *lane* is one partition number of every patient-keyed topic: all that happens to its patients, in one order.
`transport` takes polls and hands them on, `order` sorts them by time, `lane` applies and commits them, `state` is what
a lane knows, `batch` is what a handler sees, `producer` writes one transaction a batch.
"""
