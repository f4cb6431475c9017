//! What this version plans and cannot do.

use crate::diagnostic::Problem;
use crate::plan::Verb;
use crate::run::Request;
use crate::run::worker::not_available;

/// What the run needs and this version cannot do: said before the first step,
/// unless the rest is wanted all the same; what comes after something is published is
/// always said.
pub(super) fn gaps(request: &Request) -> Vec<Problem> {
    let steps = request.plan.steps.iter().filter_map(|step| Some((step, step.action.gap()?)));
    let steps = steps.filter(|(step, _)| !request.options.keep_going || step.id.verb == Some(Verb::Deploy));
    let steps = steps.map(|(_, gap)| gap);
    request.plan.gaps.iter().chain(steps).map(not_available).collect()
}
