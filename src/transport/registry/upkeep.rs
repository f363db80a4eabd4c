//! What makes room in a repository: the list of its tags, and deleting a manifest by its digest.
//!
//! Deleting by digest can't hit an image that was pushed under the same tag meanwhile: that one has another digest. The blobs of
//! a deleted image are the registry's to collect.

use reqwest::header::LINK;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{Asked, Registry, over_http, repository};
use crate::transport::body::{Purpose, collect};
use crate::transport::error::{Result, TransportError};
use crate::transport::http::{is_same_server, read, refusal};
use crate::transport::location::Location;

/// The most tags of a repository: stops a list without end from filling the memory.
const MAX_TAGS: usize = 500_000;

/// The most bytes of a page of tags; a thousand tags of the longest kind have a tenth of it.
const MAX_PAGE: u64 = 4 << 20;

/// A page of the list. Registries say `null` for an empty one.
#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of a repository, given the URL of their list. A repository that does not exist has none.
    pub(in crate::transport) async fn tags(&self, at: &Location) -> Result<Vec<String>> {
        let mut url = over_http(&at.url)?;
        url.set_query(Some("n=1000"));
        let mut tags = Vec::new();
        loop {
            let asked = Asked {
                method: Method::GET,
                at,
                repository: repository(&at.url),
                part: None,
                purpose: Purpose::Document,
                url: url.clone(),
            };
            let response = self.ask(&asked).await?;
            let next = response.headers().get(LINK).and_then(|link| next_page(&url, link.to_str().ok()?));
            let Some(body) = read(&url, response, None)? else { return Ok(tags) };
            let bytes = collect(&self.http.settings, &url, body, MAX_PAGE).await?;
            let odd = |reason: &str| TransportError::NotATagList { url: (&url).into(), reason: reason.to_owned() };
            let page: Page = serde_json::from_slice(&bytes).map_err(|error| odd(&error.to_string()))?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > MAX_TAGS {
                return Err(odd("it does not end"));
            }
            match next {
                // A next page on another server, or the same one again, leads nowhere.
                Some(next) if is_same_server(&next, &url) && next != url => url = next,
                Some(_) => return Err(odd("its next page is not one")),
                None => return Ok(tags),
            }
        }
    }

    /// Delete the manifest with the digest that the URL names. One that is gone already is as good as deleted.
    pub(in crate::transport) async fn delete(&self, at: &Location) -> Result<()> {
        let url = over_http(&at.url)?;
        let asked = Asked {
            method: Method::DELETE,
            at,
            repository: repository(&at.url),
            part: None,
            purpose: Purpose::Document,
            url,
        };
        let response = self.ask(&asked).await?;
        match response.status() {
            StatusCode::OK
            | StatusCode::ACCEPTED
            | StatusCode::NO_CONTENT
            | StatusCode::NOT_FOUND
            | StatusCode::GONE => Ok(()),
            status @ (StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED) => {
                Err(TransportError::NoDeletion { url: at.public(), status })
            }
            _ => Err(refusal(&response)),
        }
    }
}

/// The address of the next page (RFC 8288), relative to that of this one.
fn next_page(url: &Url, link: &str) -> Option<Url> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.replace([' ', '"'], "").to_ascii_lowercase().contains(";rel=next").then(|| url.join(target).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_relative_to_this_one() {
        let url: Url = "https://registry.example/v2/a/tags/list?n=2".parse().unwrap();
        let next = |link| next_page(&url, link).map(String::from);
        let expected = Some("https://registry.example/v2/a/tags/list?last=x&n=2".to_owned());
        assert_eq!(next("</v2/a/tags/list?last=x&n=2>; rel=\"next\""), expected);
        assert_eq!(next("</v2/a/tags/list?last=x&n=2>; rel=\"prev\""), None);
        assert_eq!(next("nonsense"), None);
    }
}
