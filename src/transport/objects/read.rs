//! Reading from object stores.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{Attribute, GetOptions, GetRange, GetResult, ObjectStore};

use super::refusal::Meaning;
use super::store::{Objects, trouble};
use crate::transport::body::{Body, Extent, Part, Tag};
use crate::transport::error::{Result, TransportError};
use crate::transport::location::Location;

impl Objects {
    /// An object, or `None` where the store says that there is no such object.
    pub(in crate::transport) async fn open(&self, at: &Location, part: Option<&Part>) -> Result<Option<Body>> {
        let options = GetOptions {
            range: part.map(|part| GetRange::Bounded(part.range.clone())),
            if_match: part.and_then(|part| part.tag.as_ref()).map(|Tag(tag)| tag.clone()),
            ..GetOptions::default()
        };
        let url = at.public();
        // An answer that is neither an error nor the part that was asked for.
        let nonsense = |error| match error {
            TransportError::Unreachable { source, url } if part.is_some() && source.client().is_none() => {
                TransportError::WrongPart { url }
            }
            error => error,
        };
        let options = &options;
        let get = |store: Arc<dyn ObjectStore>, path| async move {
            self.answer(at, store.get_opts(&path, options.clone())).await.map_err(nonsense)
        };
        let error = match self.ask(at, get).await {
            Ok(answer) => return Ok(Some(body(at, answer, part.is_some()))),
            Err(error) => error,
        };
        match error.refusal().map(|refusal| (refusal.meaning(), refusal.status.as_u16())) {
            Some((Meaning::Missing, status)) => {
                if status == 403 {
                    self.bucket(at).warn_of_denial(at);
                }
                Ok(None)
            }
            Some((Meaning::Changed, _)) if part.is_some() => Err(TransportError::Changed { url }),
            Some((Meaning::WrongPart, _)) if part.is_some() => Err(TransportError::WrongPart { url }),
            _ => Err(error),
        }
    }
}

fn body(at: &Location, answer: GetResult, is_part: bool) -> Body {
    let whole = answer.meta.size;
    let extent = if is_part {
        Extent::Part { range: answer.range.clone(), whole }
    } else {
        Extent::Whole { length: Some(whole) }
    };
    // A weak tag (`W/"…"`) vouches for the meaning of a file, not for its bytes.
    let tag = answer.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/")).map(Tag);
    let content_type = answer.attributes.get(&Attribute::ContentType).map(|value| value.to_string());
    let at = at.clone();
    let pieces = answer.into_stream().map_err(move |error| trouble(&at, error)).boxed();
    Body { extent, tag, content_type, pieces }
}
