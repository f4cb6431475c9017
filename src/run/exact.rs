//! How exactly what steps made has to lie there for those who use it.

use crate::cache::Exactness;
use crate::plan::{Action, NeedKind, Plan, Step};

/// How exactly the workspace has to hold what a step made for one who uses it.
pub(super) const fn exactness_for(user: &Step) -> Exactness {
    match user.action {
        Action::Command(_) => Exactness::ButCaches,
        // All that lies there becomes part of an image.
        _ => Exactness::Whole,
    }
}

/// How exactly what each step of a plan made has to lie there.
pub(super) fn exactness(plan: &Plan) -> Vec<Exactness> {
    let mut all = vec![Exactness::ButCaches; plan.steps.len()];
    // Whoever uses something comes behind it, and a group stands for what it needs.
    for (at, step) in plan.steps.iter().enumerate().rev() {
        let wanted = match step.action {
            Action::Group => all.get(at).copied().unwrap_or(Exactness::Whole),
            _ => exactness_for(step),
        };
        if wanted == Exactness::Whole {
            for need in step.needs.iter().filter(|need| need.kind == NeedKind::Product) {
                if let Some(needed) = all.get_mut(need.step.0 as usize) {
                    *needed = Exactness::Whole;
                }
            }
        }
    }
    all
}
