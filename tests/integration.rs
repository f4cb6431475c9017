//! The integration tests: hoist as its users meet it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::format_collect,
    reason = "tests make their own world, and one that cannot go on has failed"
)]

mod approving;
mod bases;
mod branches;
mod buildkit;
mod cache;
mod classic_engines;
mod commands;
mod composing;
mod conditions;
mod containers;
#[path = "../src/engine/builder/fixture.rs"]
mod daemons;
mod deploying;
mod doctor;
mod documents;
mod emulation;
mod engine_faults;
mod engine_limits;
mod engines;
mod entering;
mod examples;
mod faults;
mod figures;
mod fixture;
mod init;
mod inspect;
mod keys;
mod layers;
mod local_names;
mod login;
mod logins;
mod others;
mod pages;
mod processes;
mod proxy;
mod pruning;
#[path = "model/random.rs"]
mod random;
mod recall;
mod reference;
mod registry;
mod remote_engines;
mod resuming;
mod sandbox;
mod scanning;
mod schemas;
mod sealing;
mod secrets;
mod signals;
mod spelling;
mod stages;
mod turns;
mod views;
mod vouched;
mod watch;
