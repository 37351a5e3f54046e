"""Speed against a contender in the same run, on the same input."""
