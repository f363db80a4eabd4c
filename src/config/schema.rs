//! The keys of `larder.yaml`: what the file may say, its JSON schema, and the source of "did you mean".
//!
//! Each comment on a key is its description in the schema. The types of the values say no to what means nothing; what can
//! only be checked once other values are known is checked where the values are put together.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{AccessKeys, PairSchema};
use super::build_deps::BuildDeps;
use super::cache_name::CacheName;
use super::concretize::Concretize;
use super::hand_over::HandOver;
use super::jobs::{JobPattern, JobSchema};
use super::keep::Keep;
use super::mirror_pattern::Prefixes;
use super::network::NetworkSchema;
use super::push_rule::PushRule;
use super::set_aside::SetAside;
use super::text::{Endpoint, Flag, KeyId, Line, OneOrMany, PathText, Size, TextOr, VariableName};

/// The configuration of larder. Every key is optional.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a map with the keys of `larder.yaml`")]
#[schemars(title = "larder.yaml")]
pub(super) struct FileSchema {
    /// Folders with `spack.yaml` and `spack.lock`, or lockfiles. Default: the folder of the file.
    pub(super) environments: Option<OneOrMany<PathText>>,
    /// Where binaries come from, in the order in which the mirrors are asked. Default: the mirrors that Spack would use.
    pub(super) mirrors: Option<Vec<MirrorEntry>>,
    /// Where binaries are kept between jobs. Default: one cache, `.larder/shared`.
    pub(super) caches: Option<Vec<CacheSchema>>,
    /// What jobs need, by globs over their names; the first that matches counts. Default: all roots.
    #[schemars(with = "Option<BTreeMap<String, Option<JobSchema>>>")]
    pub(super) jobs: Option<IndexMap<JobPattern, Option<JobSchema>>>,
    /// Which build dependencies a job needs: `missing` (the default), `all` or `none`.
    pub(super) build_deps: Option<BuildDeps>,
    /// When `run` has Spack concretize: `missing` (the default), `always` or `never`.
    pub(super) concretize: Option<Concretize>,
    /// How Spack gets the job mirror: `flag`, `path`, `environment`, `instance`, or several. Default: `flag`; for `run`, `path`.
    pub(super) hand_over: Option<OneOrMany<HandOver>>,
    /// Patience and parallelism.
    pub(super) network: Option<NetworkSchema>,
    /// Above this size, `larder finish` warns of a cache's archive. Default: `5GB`.
    pub(super) max_archive_size: Option<Size>,
    /// When `larder finish` moves an unchanged cache out of the runner's sight: `auto` (the default), `always` or `never`.
    pub(super) set_aside: Option<SetAside>,
}

/// A mirror: its URL, or a map that says more.
pub(super) type MirrorEntry = TextOr<Line, MirrorSchema>;

/// A mirror. With `collect: true` it takes what pipelines build: a folder that GitLab keeps for a branch, a registry or a bucket.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a URL, a map with `url`, or one with `collect: true` and `path`"
)]
pub(super) struct MirrorSchema {
    /// What reports call it. No two mirrors have the same name. Default: the URL without `https://`, or the last part of `path`.
    pub(super) name: Option<Line>,
    /// Where the mirror is: a URL, or a path.
    pub(super) url: Option<Line>,
    /// Whether binaries must carry a signature that Spack trusts. Default: `true`; with `collect`, if there is a `signing-key`.
    pub(super) signed: Option<Flag>,
    /// Whether the mirror, or the endpoint of its object store, may be read without TLS. Default: `false`.
    pub(super) insecure: Option<Flag>,
    /// A user name and the variable that holds its password; or the two parts of an access key.
    pub(super) access_pair: Option<PairSchema>,
    /// The variable that holds a token, sent as `Authorization: Bearer`.
    pub(super) access_token_variable: Option<VariableName>,
    /// The section of the shared credentials file of AWS.
    pub(super) profile: Option<Line>,
    /// Where an object store is reached.
    pub(super) endpoint_url: Option<Endpoint>,
    /// Whether a run goes on without the mirror where it is not there or can't be reached. Default: `false`.
    pub(super) optional: Option<Flag>,
    /// Whether it collects what was built: at most one folder (`path`) and one registry or bucket (`url`) do. Default: `false`.
    pub(super) collect: Option<Flag>,
    /// With `collect`: the folder, inside the project.
    pub(super) path: Option<PathText>,
    /// With `collect` and `url`: which jobs push, `protected` (those of protected branches and tags; the default) or `always`.
    pub(super) push: Option<PushRule>,
    /// With `collect`: the key that Spack signs with. Default: pushed with `--unsigned`.
    pub(super) signing_key: Option<KeyId>,
    /// With `collect`: what stays in it. Default: `lockfile` in a folder, elsewhere what was pushed in the last 30 days.
    pub(super) keep: Option<Keep>,
}

/// A cache: a folder, or with `url` a place in an object store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a map with `name`")]
pub(super) struct CacheSchema {
    /// What reports and `--cache` call it.
    #[schemars(required)]
    pub(super) name: Option<CacheName>,
    /// Which mirrors it is for: beginnings of their URLs, or globs. Default: all.
    pub(super) prefix: Option<Prefixes>,
    /// Its folder. Default: `.larder/<name>`.
    pub(super) path: Option<PathText>,
    /// The place in an object store where it is, instead of a folder.
    pub(super) url: Option<Line>,
    /// With `url`: whether the store's endpoint may do without TLS. Default: `false`.
    pub(super) insecure: Option<Flag>,
    /// With `url`: a user name and the variable that holds its password; or the two parts of an access key.
    pub(super) access_pair: Option<PairSchema>,
    /// With `url`: the variable that holds a token.
    pub(super) access_token_variable: Option<VariableName>,
    /// With `url`: the section of the shared credentials file of AWS.
    pub(super) profile: Option<Line>,
    /// With `url`: where the store is reached.
    pub(super) endpoint_url: Option<Endpoint>,
    /// What stays in it after a job. Default: what was used in the last 30 days.
    pub(super) keep: Option<Keep>,
}

/// The JSON schema of `larder.yaml`, made of what reads the file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(FileSchema)
}

/// Both kinds of entries have the keys about access. (Flattened by serde, their values would lose their places.)
macro_rules! entries_with_access {
    ($($schema:ty),*) => {$(
        impl $schema {
            pub(super) fn access(&self) -> AccessKeys<'_> {
                AccessKeys {
                    insecure: self.insecure,
                    pair: self.access_pair.as_ref(),
                    token_variable: self.access_token_variable.as_ref(),
                    profile: self.profile.as_ref(),
                    endpoint_url: self.endpoint_url.as_ref(),
                }
            }
        }
    )*};
}
entries_with_access!(MirrorSchema, CacheSchema);
