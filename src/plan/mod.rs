//! Release, facts, and goals to a [`Plan`]: a sealed graph of typed steps.
//!
//! Owns the selection of what a goal needs, the steps and their names, the
//! edges, what of a step is known before it runs (its [`Definition`]), and the
//! drawings of the graph. A plan is data: sorted, comparable, printable, and the
//! same on every machine for the same release and facts. Pure; must not import
//! store, cache, engine, or anything behind them.

mod action;
mod assemble;
mod base;
mod build;
mod check;
mod collision;
mod command;
mod dead_end;
mod definition;
mod deploy;
mod destination;
mod dockerfile;
mod drawing;
mod edge;
mod entering;
mod files;
#[cfg(test)]
mod fixture;
mod followed;
mod glob;
mod goals;
mod image;
mod json;
mod label;
mod lower;
mod name;
mod order;
mod permission;
mod publish;
mod scan;
mod seal;
mod select;
mod stage;
mod step;
#[cfg(test)]
mod tests;
mod unit;

pub use action::{Action, CommandStep, Exec, Gap, Variables};
pub use base::{BASE_NAME, RemoteBase, declared_registries, not_for, registry_of, remote_base};
pub use build::build;
pub use collision::shared_rules;
pub use dead_end::{dead_ends, dead_ends_of};
pub use definition::{Definition, KeyPart, PartValue, Subject};
pub use deploy::{
    ComposeStep, DeployStep, Deployment, GitopsStep, KubectlStep, ManifestChange, ManifestEdit,
    PullRequestStep,
};
pub use destination::destinations;
pub use dockerfile::{CachePlan, DockerfileBase, DockerfileStep, dockerfile_bases};
pub use drawing::{Colour, Sketch, dot, escaped, mermaid, svg, svg_of};
pub use entering::{Entering, Promoted, entered, images_of_stage, is_of_stage, no_version, tests_of};
pub use files::{Declared, places_of};
pub use goals::{Goals, Options};
pub use image::{
    AssembleStep, BaseSource, BudgetStep, CopyPlan, ExpectPlan, ImageSettings, IndexStep, LayerPlan,
    LoginPlan, PushStep, RegistryPlace, RegistryPlan, RemovePlan, SincePlan, TagStep, TestPlan, TestStep,
};
pub use json::json;
pub use scan::ScanStep;
pub use seal::{AttestStep, ProvenancePlan, SignStep, SourcePlan};
pub use select::{Selection, select, select_entering};
pub use stage::{EnterStep, FoundStep, HttpProbe, RecordStep, StageImage, VerifyStep};
pub use step::{Effect, Need, NeedKind, Plan, Step, StepId, StepIndex, Verb};
