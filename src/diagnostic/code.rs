//! The list of all problem codes.

/// What a problem means for the exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A step failed: 1.
    Failed,
    /// The file or the command line is wrong: 2.
    Usage,
    /// Refused by a gate or by preflight, before anything became visible: 3.
    Refused,
    /// Failed and put back: 4.
    PutBack,
    /// Failed and not put back: 5.
    Stands,
    /// Interrupted: 130.
    Interrupted,
}

impl Class {
    /// The exit code of a process that ends for this reason.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::PutBack => 4,
            Self::Stands => 5,
            Self::Interrupted => 130,
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal $class:ident,)+) => {
        /// Names a kind of problem: stable, searchable, documented.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code, in the order of the stations that report them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it is printed: `hoist::station::what`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => concat!("hoist::", $text),)+ }
            }

            /// What it means for the exit code.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)+ }
            }

            /// What it means, for the reference.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    // syntax
    /// The text is not KDL.
    NotKdl "syntax::not_kdl" Usage,
    /// The text is KDL 1; hoist reads KDL 2.
    Kdl1 "syntax::kdl1" Usage,
    /// The file is larger than hoist reads.
    TooLarge "syntax::too_large" Usage,
    /// Braces are nested deeper than hoist reads.
    TooDeep "syntax::too_deep" Usage,

    // config
    /// A node that the language does not have at this place.
    UnknownNode "config::unknown_node" Usage,
    /// A property that this node does not have.
    UnknownProperty "config::unknown_property" Usage,
    /// An argument too many.
    UnexpectedArgument "config::unexpected_argument" Usage,
    /// An argument is missing.
    MissingArgument "config::missing_argument" Usage,
    /// A property that the node needs is missing.
    MissingProperty "config::missing_property" Usage,
    /// A child node that the node needs is missing.
    MissingNode "config::missing_node" Usage,
    /// A value of another type than the one expected.
    WrongType "config::wrong_type" Usage,
    /// A value that is not one of those allowed, or not in the form it needs.
    InvalidValue "config::invalid_value" Usage,
    /// A node or property given twice where one is allowed.
    Repeated "config::repeated" Usage,
    /// Two things of one kind have the same name.
    DuplicateName "config::duplicate_name" Usage,
    /// A name that nothing declares.
    UnknownName "config::unknown_name" Usage,
    /// Two nodes that exclude each other.
    Conflict "config::conflict" Usage,
    /// A template that is not well formed.
    InvalidTemplate "config::invalid_template" Usage,
    /// A template names something that is neither a variable nor a fact.
    UnknownFact "config::unknown_fact" Usage,
    /// Not an image reference, or a part of one.
    InvalidReference "config::invalid_reference" Usage,
    /// Not a platform.
    InvalidPlatform "config::invalid_platform" Usage,
    /// A path that leaves the project.
    OutsideProject "config::outside_project" Usage,
    /// An included file cannot be read, or includes itself.
    Include "config::include" Usage,
    /// The file asks for a newer hoist.
    NewerHoist "config::newer_hoist" Usage,

    // dockerfile
    /// An instruction that Dockerfiles do not have.
    UnknownInstruction "dockerfile::unknown_instruction" Usage,
    /// An instruction of a Dockerfile that is not well formed, or stands in the wrong place.
    InvalidInstruction "dockerfile::invalid_instruction" Usage,
    /// A stage that the Dockerfile does not have.
    UnknownStage "dockerfile::unknown_stage" Usage,
    /// A pattern of a `.dockerignore` that is not well formed.
    InvalidIgnorePattern "dockerfile::invalid_ignore_pattern" Usage,

    // facts
    /// No release.kdl here or above.
    NoReleaseFile "facts::no_release_file" Usage,
    /// A file that is needed cannot be read.
    Unreadable "facts::unreadable" Usage,
    /// A fact needs a git repository with a commit, and there is none.
    NoGit "facts::no_git" Usage,
    /// The event given or found cannot be understood.
    InvalidEvent "facts::invalid_event" Usage,
    /// A fact has no value for this event.
    NoSuchFact "facts::no_such_fact" Usage,
    /// A declared input does not exist.
    MissingInput "facts::missing_input" Usage,
    /// A base image cannot be resolved.
    UnknownBase "facts::unknown_base" Usage,

    // tags
    /// A rule yields something that is not an OCI tag.
    InvalidTag "tags::invalid_tag" Usage,
    /// Two rules, or two branches, yield one tag.
    TagCollision "tags::collision" Usage,

    // plan
    /// No such target, image, step, or goal.
    UnknownTarget "plan::unknown_target" Usage,
    /// Steps that need each other.
    Cycle "plan::cycle" Usage,
    /// A stage that nothing can ever enter: a condition that its images never meet, an image that is never published.
    NeverEntered "plan::never_entered" Usage,
    /// Two targets write the same path.
    OverlappingOutputs "plan::overlapping_outputs" Usage,
    /// A step reads what another makes through a link that no declaration tells of.
    HiddenNeed "plan::hidden_need" Usage,
    /// Part of the language that this version cannot execute.
    NotAvailable "plan::not_available" Refused,
    /// Something is published that may not be: a dirty tree, files that no commit has, an unnamed state.
    NotPublishable "plan::not_publishable" Refused,

    // store
    /// A registry or layout cannot be reached or does not answer as specified.
    Registry "store::registry" Failed,
    /// A registry refuses the credentials, or they are missing.
    Unauthorized "store::unauthorized" Refused,
    /// Content does not have the digest or size that was announced.
    DigestMismatch "store::digest_mismatch" Failed,
    /// No such manifest, blob, or tag.
    NotFound "store::not_found" Usage,
    /// A manifest of something else than an image, where an image is needed.
    NotAnImage "store::not_an_image" Usage,

    // cache
    /// The cache cannot be read or written.
    CacheUnusable "cache::unusable" Failed,

    // engine
    /// A layer cannot be assembled from what is there.
    Assemble "engine::assemble" Failed,
    /// There is no engine that builds the image.
    NoEngine "engine::no_engine" Refused,
    /// An engine could not build an image.
    BuildFailed "engine::build_failed" Failed,
    /// A secret that a build mounts has no value.
    BuildSecret "engine::build_secret" Refused,
    /// The embedded runtime cannot run a container here.
    NoRuntime "engine::no_runtime" Refused,
    /// A content of a base image that would leave the root file system.
    HostileLayer "engine::hostile_layer" Refused,

    // seal
    /// A signing key is missing, is none, or its password is wrong.
    SigningKey "seal::signing_key" Refused,
    /// A software bill of materials is neither CycloneDX nor SPDX.
    Sbom "seal::sbom" Failed,
    /// An image that has no signature.
    Unsigned "seal::unsigned" Refused,
    /// An image whose signatures were made by other keys, or for another image.
    WrongSignature "seal::wrong_signature" Refused,

    // run
    /// A command ended with a failure.
    CommandFailed "run::command_failed" Failed,
    /// A command could not be started.
    CannotStart "run::cannot_start" Failed,
    /// A command did not end in time.
    TimedOut "run::timed_out" Failed,
    /// A target did not make an output that it declares.
    OutputNotMade "run::output_not_made" Failed,
    /// A target in a sandbox was denied to read what it does not declare.
    UndeclaredRead "run::undeclared_read" Failed,
    /// A target in a sandbox was denied to write what it does not declare.
    UndeclaredWrite "run::undeclared_write" Failed,
    /// A target is to run in a sandbox, and there is none to be had.
    NoSandbox "run::no_sandbox" Refused,
    /// The project directory, or a place under it, cannot be written.
    ReadOnly "run::read_only" Failed,
    /// Stopped by a signal.
    Interrupted "run::interrupted" Interrupted,
    /// A smoke test or an expectation of an image did not hold.
    TestFailed "run::test_failed" Failed,
    /// An image is larger than its budget.
    OverBudget "run::over_budget" Failed,
    /// A scanner found something in an image that is too bad to be published.
    Vulnerable "run::vulnerable" Failed,
    /// What a scan allows for a time is not allowed any more.
    AllowanceExpired "run::allowance_expired" Refused,
    /// A scanner failed, or reported what is not understood.
    ScannerFailed "run::scanner_failed" Failed,
    /// A scanner that hoist is to start is not installed.
    NoScanner "run::no_scanner" Refused,

    // deploy
    /// A manifest cannot be edited as it is asked for: there is no such file, entry, or value.
    Manifest "deploy::manifest" Refused,
    /// The repository of manifests cannot be reached, or does not take a commit.
    ManifestRepository "deploy::repository" Refused,
    /// A program that deploys is missing.
    NoTool "deploy::no_tool" Refused,
    /// What keeps the repository of manifests does not take a pull request.
    PullRequest "deploy::pull_request" Refused,
    /// Somebody else entered a stage while it was deployed.
    Overtaken "deploy::overtaken" Stands,
    /// What was deployed does not do what it has to.
    NotVerified "deploy::not_verified" Failed,

    // release
    /// A registry that is needed cannot be reached, or does not answer as it has to; nothing was begun.
    Unreachable "release::unreachable" Refused,
    /// An immutable tag holds another digest.
    ImmutableTag "release::immutable_tag" Refused,
    /// The user did not agree, or could not be asked.
    NotConfirmed "release::not_confirmed" Refused,
    /// The ledger cannot be read or written.
    Ledger "release::ledger" Refused,
    /// The ledger of the remote does not follow what was seen of it before.
    LedgerDiverged "release::ledger_diverged" Refused,
    /// Images do not meet the conditions of a stage.
    GateNotMet "release::gate_not_met" Refused,
    /// There is nothing that could be promoted, or gone back to.
    NotPromotable "release::not_promotable" Refused,
    /// A git tag cannot be made, or the remote does not take it.
    Tagging "release::tagging" Failed,
    /// What entered a stage failed there, and the stage runs what it ran before.
    PutBack "release::put_back" PutBack,
    /// What entered a stage failed there, and stands.
    NotPutBack "release::not_put_back" Stands,
    /// The journal of a release cannot be read or written, or is of a newer hoist.
    Journal "release::journal" Refused,
    /// A release, a copy, or a removal stopped after a part of it was visible.
    HalfReleased "release::half_released" Stands,

    // cli
    /// The command line is wrong.
    CommandLine "cli::command_line" Usage,
    /// A file is not formatted, or would be overwritten.
    WouldChange "cli::would_change" Failed,
    /// There is no record of such a run or step.
    NoRecord "cli::no_record" Usage,
}
