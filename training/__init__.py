"""How the two small checkpoints were made: drawn samples to batches, the network to train, and the export."""
