"""The stages, one file each: a stage claims rows for its task, computes, and puts its fields with the ack as one event.

    prompts --> [train] --> rollout x 2 --> [train] --> reference, reward --> [train] --> trainer
                   ^           ^                                                            |
                   |           +--------------- [weights] <--- parameters ------------------+
                   +--------- pace, window ------------------- version ---------------------+

Each file has one `run(store, settings, history)`. A stage knows the other stages by the fields that it waits for only.
"""
