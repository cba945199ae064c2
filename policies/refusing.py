"""What a caller is told when a sharing policy does not let the hub answer."""

from __future__ import annotations

from halyard.problems import HttpProblem
from policies.desk import Asked


def refusal(asked: Asked) -> HttpProblem:
    """403 with the policy, its version and the rule: the refusal is recorded, so it can be asked
    about. What a policy leaves to a person is refused to whoever asks for it.
    """
    ruling = asked.ruling
    return HttpProblem(
        403,
        "A sharing policy does not permit this",
        "Ask the information governance lead of the hub's operator, naming policy and rule.",
        rule="policy.review" if asked.held else "policy.denied",
        extras={
            "policy": ruling.policy,
            "policy_version": ruling.version,
            "policy_rule": ruling.rule,
        },
    )
