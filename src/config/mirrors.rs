//! `mirrors:`: where binaries come from.

use std::path::Path;
use std::sync::Arc;

use super::access::{self, AccessKeys, PairShape};
use super::complaint::Complaint;
use super::reader::{Problem, Reader, flag, line};
use super::shape::{Text, TextOr, shape};
use crate::types::{InvalidMirrorUrl, Mirror, MirrorUrl, PlainHttp, Signatures, shorten};

shape! {
    /// An entry of `mirrors:` in its long form.
    MirrorShape, "a URL, or a map with `url` and perhaps `name`, `signed` and `insecure`" {
        "name" => name: Text,
        "url" => url: Text,
        "signed" => signed: Text,
        "insecure" => insecure: Text,
        "access-pair" => access_pair: PairShape,
        "access-token-variable" => access_token_variable: Text,
        "profile" => profile: Text,
        "endpoint-url" => endpoint_url: Text,
    }
}

impl Mirror {
    /// The mirror at a URL or path of which nothing else is known, as `--mirror` names one.
    pub fn from_url(text: &str, base: &Path) -> Result<Self, InvalidMirrorUrl> {
        let url = MirrorUrl::parse(text, base)?;
        Ok(Self {
            name: name_from(&url),
            url,
            signatures: Signatures::Required,
            plain_http: PlainHttp::LoopbackOnly,
            access: Arc::default(),
        })
    }

    pub(super) fn read_all(reader: &Reader<'_>, shapes: Vec<TextOr<MirrorShape>>) -> Result<Vec<Self>, Problem> {
        let mut mirrors: Vec<Self> = Vec::new();
        for (index, shape) in shapes.into_iter().enumerate() {
            let reader = reader.item(index);
            let named = matches!(&shape, TextOr::Other(MirrorShape { name: Some(_), .. }));
            let mirror = Self::read(&reader, shape)?;
            if mirrors.iter().any(|other| other.name == mirror.name) {
                let complaint = Complaint::new(format!("two mirrors have the name `{}`", shorten(&mirror.name)));
                let place = if named { reader.key("name") } else { reader };
                return Err(place.problem(complaint.help("give each mirror a `name` of its own")));
            }
            mirrors.push(mirror);
        }
        Ok(mirrors)
    }

    fn read(reader: &Reader<'_>, shape: TextOr<MirrorShape>) -> Result<Self, Problem> {
        let (shape, at_url) = match shape {
            TextOr::Text(url) => (MirrorShape { url: Some(url), ..MirrorShape::default() }, *reader),
            TextOr::Other(shape) => (shape, reader.key("url")),
        };
        let Some(url) = &shape.url else { return Err(reader.problem(Complaint::new("a mirror needs a `url`"))) };
        let url = at_url.read(url, |text| MirrorUrl::parse(&line(text)?, reader.root()).map_err(Complaint::from))?;
        let signatures = match reader.read_key("signed", shape.signed.as_ref(), flag)? {
            Some(false) => Signatures::NotRequired,
            Some(true) | None => Signatures::Required,
        };
        let plain_http = match reader.read_key("insecure", shape.insecure.as_ref(), flag)? {
            Some(true) => PlainHttp::Anywhere,
            Some(false) | None => PlainHttp::LoopbackOnly,
        };
        if url.is_refused_by(plain_http) {
            let complaint = Complaint::new(format!(
                "`{url}` is not protected by TLS: anybody on the way could replace binaries and digests alike"
            ));
            return Err(at_url.problem(complaint.help(
                "use `https://` or `oci://`; where you trust the network, add `insecure: true` to the mirror's entry",
            )));
        }
        let name = reader.read_key("name", shape.name.as_ref(), line)?.unwrap_or_else(|| name_from(&url));
        let keys = AccessKeys {
            pair: shape.access_pair.as_ref(),
            token_variable: shape.access_token_variable.as_ref(),
            profile: shape.profile.as_ref(),
            endpoint_url: shape.endpoint_url.as_ref(),
        };
        let access = Arc::new(access::read(reader, &keys, plain_http)?);
        Ok(Self { name, url, signatures, plain_http, access })
    }
}

/// The URL without its scheme: `binaries.spack.io/develop`, `/srv/mirror`.
fn name_from(url: &MirrorUrl) -> String {
    let text = url.public_text();
    text.split_once("://").map_or(text.clone(), |(_, rest)| rest.to_owned())
}
