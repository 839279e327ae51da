"""Training runs: batches, schedules, the loop, its history and its looks at the gradient."""
