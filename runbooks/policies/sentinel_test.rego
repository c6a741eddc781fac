# `opa test runbooks/policies`. What both evaluators answer alike is tested in tests/contracts.
package sentinel.policy_test

import rego.v1

import data.sentinel.policy

step := {"name": "scale", "touches": "shop", "executors": ["http"]}

plan := {"risk": "medium", "dry_run": false, "blast_radius": ["shop"], "steps": [step]}

document := {
	"plan": plan,
	"environment": "staging",
	"now": "2026-03-04T10:00:00Z",
	"hour": 10,
	"weekday": "wed",
}

production := object.union(document, {"environment": "production"})

effects(answer) := {rule.effect | some rule in answer.rules}

ids(answer) := {rule.id | some rule in answer.rules}

with_risk(base, risk) := object.union(base, {"plan": object.union(plan, {"risk": risk})})

test_staging_needs_no_person if {
	answer := policy.answer with input as document
	effects(answer) == {"allow"}
	answer.approvals.count == 0
}

test_high_risk_in_staging_needs_one if {
	answer := policy.answer with input as with_risk(document, "high")
	effects(answer) == {"approve"}
	answer.approvals.count == 1
}

test_production_needs_one_and_starts_soon if {
	answer := policy.answer with input as production
	ids(answer) == {"guarded", "start-soon"}
	answer.approvals.count == 1
}

test_high_risk_in_production_needs_two if {
	answer := policy.answer with input as with_risk(production, "high")
	answer.approvals.count == 2
}

test_an_unknown_place_is_allowed_nothing if {
	answer := policy.answer with input as object.union(document, {"environment": "moon"})
	count(answer.rules) == 0
}

test_a_freeze_closes_production if {
	window := {
		"name": "sales",
		"environments": ["production"],
		"from": "2026-03-04T00:00:00Z",
		"until": "2026-03-05T00:00:00Z",
	}
	answer := policy.answer with input as production
		with data.sentinel.config.freezes as [window]
	"change-freeze" in ids(answer)
	elsewhere := policy.answer with input as document
		with data.sentinel.config.freezes as [window]
	not "change-freeze" in ids(elsewhere)
}

test_a_window_that_cannot_be_read_closes_everything if {
	answer := policy.answer with input as document
		with data.sentinel.config.freezes as [{"name": "sales", "from": "soon"}]
	"freeze-unreadable" in ids(answer)
}
