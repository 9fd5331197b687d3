"""The faults that other engines were seen to have, each a promise that ours has it not; listed in docs/faults.md."""
