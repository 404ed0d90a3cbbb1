"""The matches and targets of iptables: their options, models, semantics and wording."""
