"""What the acts say: strict bytes, the policy, the rules, the fold of all acts, and its kept state."""
