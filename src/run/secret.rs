//! Which values a run may not show.

use std::ffi::OsStr;
use std::fs;

use crate::config::Secret;
use crate::plan::Action;
use crate::run::Request;
use crate::run::mask::Secrets;
use crate::store::secret_file;

/// What steps may not show: what is passed to them, what `dotenv` files say, and
/// passwords and keys of registries, images, and builders.
pub(super) fn secrets(request: &Request) -> Secrets {
    let passed = request.plan.steps.iter().flat_map(|step| match &step.action {
        Action::Command(command) => command.variables.pass.as_slice(),
        _ => &[],
    });
    let environment = &request.facts.environment;
    let (mut in_variables, mut files) = (Vec::new(), Vec::new());
    for secret in request.release.secrets() {
        match secret {
            Secret::Env(name) => in_variables.push(name),
            Secret::File(path) => files.extend(fs::read(secret_file(path, &request.root, environment))),
            // It is run only where it is needed: what it prints is not known here.
            Secret::Command(_) => {}
        }
    }
    let all = request.release.targets.values().flat_map(|target| &target.pass_env);
    let all = all.map(|name| &name.value).chain(&request.settled.passed);
    let names = passed.chain(all).chain(in_variables).chain(&request.facts.dotenv);
    let values = names.filter_map(|name| environment.get(name)).map(OsStr::as_encoded_bytes);
    Secrets::new(values.chain(files.iter().map(Vec::as_slice)))
}
