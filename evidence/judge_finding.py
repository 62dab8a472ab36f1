"""What a check says of a reading, a channel, a minute or an hour."""

from dataclasses import dataclass

from evidence.judge_rules import Rule, RuleSet, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that was broken; ``detail`` begins where the rule's id ends: ``Q15`` + ``above 40``."""

    rule: str
    severity: Severity
    detail: str

    def __str__(self) -> str:
        return f"{self.rule} {self.detail}"


def found(rule: Rule, detail: str, severity: Severity | None = None) -> Finding:
    """Make the finding of a rule, in its severity unless the rule knows two."""
    return Finding(rule.id, severity or rule.severity, detail)


def active(rules: RuleSet, name: str) -> Rule | None:
    """Return a rule unless the site turned it off."""
    rule = rules.rule(name)
    return None if rule.is_off else rule
