//! Whether what vouches for images meets the conditions of a stage. Pure.

use crate::config::Require;
use crate::release::gate::{Candidate, Unmet, Vouching, unmet};
use crate::seal::Form;

/// What vouches for an image in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The image.
    pub image: String,
    /// The place, as a user would name it.
    pub place: String,
    /// What was found by each declared key, in the order of their declaration.
    pub by: Vec<VouchedBy>,
}

/// What a key vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VouchedBy {
    /// The key, as it is named in a sentence.
    pub key: String,
    /// The forms in which it signed the image; none if it did not.
    pub signed: Vec<Form>,
    /// The forms in which it stated how the image was made.
    pub provenance: Vec<Form>,
    /// Why what is there is no signature of this key, where there is something.
    pub flaw: Option<String>,
}

/// Whether a stage asks who vouches for its images.
pub(super) fn asks(require: &Require) -> bool {
    require.signed || require.provenance
}

/// Whether every image is signed with all of its keys wherever it is.
pub(super) fn signed(candidate: &Candidate, found: Option<&[Vouched]>) -> Result<String, Unmet> {
    declared(candidate, |vouching| !vouching.keys.is_empty(), "`sign`", "sign key=\"…\"")?;
    each(candidate, found, "signed", |by| &by.signed)
}

/// Whether it is stated of every image how it was made, with all of its keys, wherever it is.
pub(super) fn provenance(candidate: &Candidate, found: Option<&[Vouched]>) -> Result<String, Unmet> {
    let states = |vouching: &Vouching| vouching.provenance && !vouching.keys.is_empty();
    let remedy = "sign key=\"…\"; attest provenance=#true";
    declared(candidate, states, "`sign` and `attest provenance=#true`", remedy)?;
    each(candidate, found, "attested", |by| &by.provenance)
}

/// Without a declared key nobody knows whose signature counts.
fn declared(
    candidate: &Candidate,
    is_declared: impl Fn(&Vouching) -> bool,
    what: &str,
    node: &str,
) -> Result<(), Unmet> {
    let names = |(name, _): &(String, Vec<String>)| {
        let vouching = candidate.vouching.iter().find(|vouching| vouching.image == *name);
        (!vouching.is_some_and(&is_declared)).then(|| format!("`{name}`"))
    };
    let without: Vec<_> = candidate.images.iter().filter_map(names).collect();
    if without.is_empty() {
        return Ok(());
    }
    let (verb, them) = if without.len() == 1 { ("declares", "the image") } else { ("declare", "the images") };
    let why = format!("{} {verb} no {what}", without.join(" and "));
    Err(unmet(why, format!("write `{node}` in {them}, and release again")))
}

/// Whether all keys of all images did something in all places.
fn each(
    candidate: &Candidate,
    found: Option<&[Vouched]>,
    done: &str,
    forms: impl Fn(&VouchedBy) -> &Vec<Form>,
) -> Result<String, Unmet> {
    let Some(found) = found else { return Ok(format!("they are {done} before any tag is set")) };
    let (mut met, mut missing) = (Vec::new(), Vec::new());
    for (name, _) in &candidate.images {
        let places: Vec<&Vouched> = found.iter().filter(|one| one.image == *name).collect();
        if places.is_empty() {
            missing.push(format!("`{name}` is nowhere that could be looked at"));
        }
        for Vouched { place, by, .. } in places {
            for by in by {
                let VouchedBy { key, flaw, .. } = by;
                if let forms @ [_, ..] = forms(by).as_slice() {
                    let forms: Vec<_> = forms.iter().map(|form| form.as_str()).collect();
                    met.push(format!("`{name}` by {key} at {place} ({})", forms.join(", ")));
                } else {
                    let flaw = flaw.as_ref().map(|flaw| format!(" ({flaw})")).unwrap_or_default();
                    missing.push(format!("`{name}` is not {done} by {key} at {place}{flaw}"));
                }
            }
        }
    }
    if missing.is_empty() {
        return Ok(met.join("; "));
    }
    let remedy = "release it again where it was built, which adds what is missing; \
                  or `hoist copy` it from where it is vouched for, and that goes along";
    Err(unmet(missing.join(", "), remedy))
}
