"""Risk of deterioration, learned while the stream runs. Pure functions and small states; no Kafka, no I/O.

====================  ==================================================================================
`target`              what is predicted, how far ahead, and how long its label is waited for
`features`            what is known of a patient at the end of an hour, as numbers: for learning and serving
`labels`              the label of such an hour, and when it may be told
`champion`            scaled logistic regression, as plain numbers
`challenger`          Hoeffding adaptive tree
`platt`               the layer that makes their log-odds probabilities
`prequential`         how good predictions made before learning were: since start, lately, by unit
`drift`               whether the loss or the inputs have changed
`gate`                whether the challenger may replace the champion
`learner`             all of these, one example at a time, in order
`snapshots`           the learner as signed bytes
====================  ==================================================================================
"""
