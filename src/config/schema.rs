//! The keys of `larder.yaml`: what the file may say, its JSON schema, and the source of "did you mean".
//!
//! Each comment on a key is its description in the schema. The types of the values say no to what means nothing; what can
//! only be checked once other values are known is checked where the values are put together.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{AccessKeys, PairSchema};
use super::build_deps::BuildDeps;
use super::cache_name::CacheName;
use super::jobs::{JobSchema, JobsSchema};
use super::keep::Keep;
use super::mirror_pattern::MirrorPattern;
use super::network::NetworkSchema;
use super::text::{Endpoint, Flag, KeyId, Line, OneOrMany, PathText, Size, TextOr, VariableName};
use crate::yaml::At;

/// The configuration of larder. Every key is optional.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a map with the keys of `larder.yaml`")]
#[schemars(title = "larder.yaml")]
pub(super) struct FileSchema {
    /// Folders with `spack.yaml` and `spack.lock`, or lockfiles. Default: the folder of the file.
    pub(super) environments: Option<At<OneOrMany<PathText>>>,
    /// Where binaries come from, in the order in which the mirrors are asked. Default: the mirrors that Spack would use.
    pub(super) mirrors: Option<Vec<At<MirrorEntry>>>,
    /// Where binaries are kept between jobs. Default: one cache, `.larder/shared`.
    pub(super) caches: Option<At<Vec<At<CacheSchema>>>>,
    /// What jobs need, by globs over their names; the first that matches counts. Default: all roots.
    #[schemars(with = "Option<BTreeMap<String, Option<JobSchema>>>")]
    pub(super) jobs: Option<JobsSchema>,
    /// Which build dependencies a job needs: `missing` (the default), `all` or `none`.
    pub(super) build_deps: Option<BuildDeps>,
    /// Patience and parallelism.
    pub(super) network: Option<NetworkSchema>,
    /// Above this size, `larder finish` warns of a cache's archive. Default: `5GB`.
    pub(super) max_archive_size: Option<Size>,
}

/// A mirror: its URL, or a map that says more.
pub(super) type MirrorEntry = TextOr<Line, MirrorSchema>;

/// A mirror, or with `collect: true` the folder that collects what the pipelines of a branch build.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a URL, a map with `url`, or one with `collect: true` and `path`"
)]
pub(super) struct MirrorSchema {
    /// What reports call it. No two mirrors have the same name. Default: the URL without `https://`, or the last part of `path`.
    pub(super) name: Option<At<Line>>,
    /// Where the mirror is: a URL, or a path.
    pub(super) url: Option<At<Line>>,
    /// Whether binaries must carry a signature that Spack trusts. Default: `true`; with `collect`, if there is a `signing-key`.
    pub(super) signed: Option<Flag>,
    /// Whether the mirror, or the endpoint of its object store, may be read without TLS. Default: `false`.
    pub(super) insecure: Option<At<Flag>>,
    /// A user name and the variable that holds its password; or the two parts of an access key.
    pub(super) access_pair: Option<At<PairSchema>>,
    /// The variable that holds a token, sent as `Authorization: Bearer`.
    pub(super) access_token_variable: Option<At<VariableName>>,
    /// The section of the shared credentials file of AWS.
    pub(super) profile: Option<At<Line>>,
    /// Where an object store is reached.
    pub(super) endpoint_url: Option<At<Endpoint>>,
    /// Whether this is the folder that collects what was built; at most one is. Default: `false`.
    pub(super) collect: Option<Flag>,
    /// With `collect`: the folder, inside the project.
    pub(super) path: Option<At<PathText>>,
    /// With `collect`: the key that Spack signs with. Default: pushed with `--unsigned`.
    pub(super) signing_key: Option<At<KeyId>>,
    /// With `collect`: what stays in the folder after a job. Default: `lockfile`.
    pub(super) keep: Option<At<Keep>>,
}

/// A cache: a folder, or with `url` a place in an object store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a map with `name`")]
pub(super) struct CacheSchema {
    /// What reports and `--cache` call it.
    #[schemars(required)]
    pub(super) name: Option<At<CacheName>>,
    /// Which mirrors it is for: beginnings of their URLs, or globs. Default: all.
    pub(super) prefix: Option<At<OneOrMany<MirrorPattern>>>,
    /// Its folder. Default: `.larder/<name>`.
    pub(super) path: Option<At<PathText>>,
    /// The place in an object store where it is, instead of a folder.
    pub(super) url: Option<At<Line>>,
    /// With `url`: whether the store's endpoint may do without TLS. Default: `false`.
    pub(super) insecure: Option<At<Flag>>,
    /// With `url`: a user name and the variable that holds its password; or the two parts of an access key.
    pub(super) access_pair: Option<At<PairSchema>>,
    /// With `url`: the variable that holds a token.
    pub(super) access_token_variable: Option<At<VariableName>>,
    /// With `url`: the section of the shared credentials file of AWS.
    pub(super) profile: Option<At<Line>>,
    /// With `url`: where the store is reached.
    pub(super) endpoint_url: Option<At<Endpoint>>,
    /// What stays in it after a job. Default: what was used in the last 30 days.
    pub(super) keep: Option<At<Keep>>,
}

/// The JSON schema of `larder.yaml`, made of what reads the file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(FileSchema)
}

impl MirrorSchema {
    pub(super) fn access(&self) -> AccessKeys<'_> {
        AccessKeys {
            insecure: &self.insecure,
            pair: &self.access_pair,
            token_variable: &self.access_token_variable,
            profile: &self.profile,
            endpoint_url: &self.endpoint_url,
        }
    }
}

impl CacheSchema {
    pub(super) fn access(&self) -> AccessKeys<'_> {
        AccessKeys {
            insecure: &self.insecure,
            pair: &self.access_pair,
            token_variable: &self.access_token_variable,
            profile: &self.profile,
            endpoint_url: &self.endpoint_url,
        }
    }
}
