//! [`Document`](crate::syntax::Document)s to a [`Release`]: the language and its meaning.
//!
//! Owns the grammar (one table, from which documents are checked and the
//! schema and the reference are written), the typed model, and templates.
//! After this station no string is unchecked. Touches no file, environment,
//! clock, or network.

mod address;
mod consulted;
mod decode;
pub mod grammar;
mod image;
mod literal;
mod load;
mod path;
mod platforms;
mod registry;
mod release;
mod retain;
mod stage;
mod tag_rule;
mod target;
mod template;
mod value;

#[cfg(test)]
mod tests;

pub use address::{Address, Destination};
pub use consulted::Consulted;
pub use decode::decode;
pub(crate) use decode::name_fits;
pub use image::{
    Assemble, AssembleLayer, Base, Budget, BuildCache, BuildContext, BuildSecret, Copy, Dockerfile, Expect,
    HttpAnswer, Image, ImageTest, Push, Recipe, Scan, ScanAllow, ScanFormat, Sign, Waste,
};
pub use load::{Include, LoadedDocument, includes};
pub use path::{OutsideProject, PRIVATE, ProjectPath};
pub use registry::{ClientCertificate, Login, Place, Registry, Secret};
pub use release::{
    Builder, CacheSettings, Declared, Execute, GOALS, Pool, Release, RemoteCache, Settings, Var,
};
pub use retain::{Bounds, Retain};
pub use stage::{
    Approve, Deploy, Edit, EventPattern, Forge, ForgeAccess, HttpCheck, KubectlSet, MergedRequest, NewValue,
    PullRequest, Require, Severity, Stage, Verify,
};
pub use tag_rule::{Narrow, Rule, RuleKind, TagSet};
pub use target::{Argument, Command, Condition, Pattern, Target};
pub use template::{Fact, Field, Name, Part, Template};
pub(crate) use value::duration;
pub use value::{glob_fits, of_directories};
