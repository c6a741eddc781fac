# What may be done, where and when. Read by `sentinel policy eval` and the policy stage.
#
# input   the plan with its steps, the incident, the environment, the budget's forecast, the time
#         (agents/policy.py, `document`, writes it)
# data    data.yaml beside this file
# answer  rules that spoke, constraints for the run, approvals that are needed. Deny wins over
#         approve, approve over constrain, constrain over allow; and when no rule allows or asks
#         for approval, the plan is refused.
#
# To add to it put another file beside this one, in the same package, that adds to `rules`,
# `constraints` or `approvals_needed`. Use input.now, input.hour and input.weekday for the time:
# the evaluator in process has neither a working time.parse_rfc3339_ns nor http.send.
package sentinel.policy

import rego.v1

answer := {
	"rules": rules,
	"constraints": constraints,
	"approvals": {
		"count": max(approvals_needed),
		"approvers": config.approvers,
		"expires_s": config.approval_expires_s,
	},
} if {
	is_number(config.start_within_s) # else its limit would silently be none
}

config := data.sentinel.config

guarded if input.environment in config.guarded.environments

unattended if input.environment in config.unattended.environments

changes if not input.plan.dry_run

# Rules of their own, and not `not x in y` where they are used: OPA takes that for undefined, and
# not for true, when x or y is missing.
calm if input.plan.risk in config.unattended.risks

listed(executor) if executor in config.executors

inside(step) if step.touches in input.plan.blast_radius

# ---- allowed

rules contains {
	"id": "dry-run",
	"effect": "allow",
	"reason": "a dry run looks and changes nothing",
} if {
	input.plan.dry_run
}

rules contains {
	"id": "unattended",
	"effect": "allow",
	"reason": sprintf("%s risk in %s needs no person", [input.plan.risk, input.environment]),
} if {
	unattended
	calm
}

# ---- with a person's approval

approvals_needed contains 0

approvals_needed contains 1 if {
	guarded
	changes
}

rules contains {
	"id": "guarded",
	"effect": "approve",
	"reason": sprintf("a person must approve what changes %s", [input.environment]),
} if {
	guarded
	changes
}

approvals_needed contains 2 if {
	guarded
	changes
	input.plan.risk == "high"
}

rules contains {
	"id": "guarded-high-risk",
	"effect": "approve",
	"reason": sprintf("high risk in %s needs a second person", [input.environment]),
} if {
	guarded
	changes
	input.plan.risk == "high"
}

approvals_needed contains 1 if {
	unattended
	changes
	not calm
}

rules contains {
	"id": "risk",
	"effect": "approve",
	"reason": sprintf("%s risk is not taken unattended", [input.plan.risk]),
} if {
	unattended
	changes
	not calm
}

# ---- with limits

constraints contains {
	"name": "start_within_s",
	"value": sprintf("%d", [config.start_within_s]),
} if {
	guarded
	changes
}

rules contains {
	"id": "start-soon",
	"effect": "constrain",
	"reason": sprintf("the world moves on: start within %d s", [config.start_within_s]),
} if {
	guarded
	changes
}

# ---- never

rules contains {
	"id": "nothing-to-do",
	"effect": "deny",
	"reason": "the plan has no steps",
} if {
	count(input.plan.steps) == 0
}

rules contains {
	"id": "executor-not-listed",
	"effect": "deny",
	"reason": sprintf("step %s uses the executor %s, which is not listed", [step.name, executor]),
} if {
	some step in input.plan.steps
	some executor in step.executors
	not listed(executor)
}

rules contains {
	"id": "outside-blast-radius",
	"effect": "deny",
	"reason": sprintf("step %s touches %s, which is outside of the blast radius", [step.name, step.touches]),
} if {
	some step in input.plan.steps
	clear(step)
	not inside(step)
}

# The two rules above need these to speak.
rules contains {
	"id": "step-unclear",
	"effect": "deny",
	"reason": "a step does not say its name, its executors, or what it touches",
} if {
	some step in input.plan.steps
	not clear(step)
}

clear(step) if {
	is_string(step.name)
	is_string(step.touches)
	is_array(step.executors)
	count(step.executors) > 0
}

rules contains {
	"id": "change-freeze",
	"effect": "deny",
	"reason": sprintf("%s: nothing is changed in %s", [window.name, input.environment]),
} if {
	changes
	some window in config.freezes
	input.environment in window.environments
	window.from <= input.now
	input.now < window.until
}

rules contains {
	"id": "change-freeze",
	"effect": "deny",
	"reason": sprintf("%s: nothing is changed in %s", [window.name, input.environment]),
} if {
	changes
	some window in config.weekly_freezes
	input.environment in window.environments
	input.weekday in window.weekdays
	window.from_hour <= input.hour
	input.hour < window.until_hour
}

# A window that cannot be read must not be one that never closes: nothing is changed until it can.
rules contains {
	"id": "freeze-unreadable",
	"effect": "deny",
	"reason": "a freeze window in data.yaml cannot be read: see its comments",
} if {
	changes
	not freezes_readable
}

freezes_readable if {
	is_array(config.freezes)
	is_array(config.weekly_freezes)
	every window in config.freezes {
		readable(window)
	}
	every window in config.weekly_freezes {
		readable_weekly(window)
	}
}

readable(window) if {
	is_string(window.name)
	is_array(window.environments)
	regex.match(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, window.from)
	regex.match(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, window.until)
	window.from < window.until
}

readable_weekly(window) if {
	is_string(window.name)
	is_array(window.environments)
	count(window.weekdays) > 0
	every day in window.weekdays {
		day in {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	}
	is_number(window.from_hour)
	is_number(window.until_hour)
	window.from_hour < window.until_hour
}
