// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/** A step without schedules of momentum and weight decay. */
record Unscheduled(double rate, long number) implements RuleStep {}
