"""What each match and target of iptables is: options, model, meaning, words."""
