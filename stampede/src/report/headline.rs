//! A rehearsal in one sentence.

use super::{Counts, Setting};
use crate::check::{Verdict, grouped};

/// What the headline is made of.
pub(super) struct Headline<'a> {
    pub(super) failed: &'a [&'a Verdict],
    pub(super) idle: usize,
    pub(super) all: usize,
    pub(super) missed: usize,
    pub(super) goals: usize,
    pub(super) setting: &'a Setting,
    pub(super) counts: &'a Counts,
}

impl Headline<'_> {
    pub(super) fn text(&self) -> String {
        let Self { idle, all, missed, goals, .. } = *self;
        let Counts { entered, admitted, bought, crashed, .. } = *self.counts;
        let claim = match self.failed {
            [] if crashed > 0 => {
                format!("FAILED: {crashed} of our fans crashed, a fault of stampede's")
            }
            [] if idle == all => "Nothing was tested".to_owned(),
            [] if idle > 0 && self.setting.require_all => {
                format!("FAILED: {idle} of {all} checks were not exercised, and all are required")
            }
            [] if missed > 0 && self.setting.require_goals => {
                format!("FAILED: {missed} of {goals} goals are missed, and all are required")
            }
            [] => {
                let hold = match idle {
                    0 => format!("all {all} checks hold"),
                    idle => format!("{} of {all} checks hold, {idle} not exercised", all - idle),
                };
                match (missed, idle) {
                    (0, 0) => format!("Fair: {hold}"),
                    (0, _) => hold,
                    (missed, _) => format!("Goals missed: {missed} of {goals}; {hold}"),
                }
            }
            [one] => format!("FAILED: {}", one.name),
            many => format!("FAILED: {} of {all} checks are violated", many.len()),
        };
        let [entered, admitted, bought] = [entered, admitted, bought].map(grouped);
        format!("{claim}. {entered} entered, {admitted} were let in, {bought} bought.")
    }
}
