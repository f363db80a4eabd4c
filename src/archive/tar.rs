//! Tar archives compressed with zstd: what the runner writes with `CACHE_COMPRESSION_FORMAT: tarzstd`.
//!
//! A tar archive has no directory, so each entry is checked when it comes by, and whoever unpacks it must not show anything
//! before the end was seen. Formats: POSIX `ustar` and pax as Go writes them, long names of GNU tar. The `tar` crate reads
//! a long name into memory however long it is, and has no way to be told otherwise, so the headers are read here.

use std::io::{self, Read};

use super::entry::{EntryData, Tree};
use super::error::{Fault, Problem};
use super::{Entry, EntryKind, EntryName, Limits};

const BLOCK: usize = 512;

/// Keeps the unpacked stream within what its archived bytes may stand for.
struct Bounded<R> {
    inner: R,
    archived: u64,
    limit: u64,
    found: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.found = self.found.saturating_add(length as u64);
        if self.found > self.limit {
            return Err(Problem::Bomb { archived: self.archived, limit: self.limit }.into());
        }
        Ok(length)
    }
}

/// What the headers before an entry's own say of it.
#[derive(Debug, Default)]
struct Extended {
    name: Option<Vec<u8>>,
    bytes: Option<u64>,
    modified: Option<i64>,
    is_sparse: bool,
}

/// One header block.
struct Header {
    name: Vec<u8>,
    bytes: u64,
    modified: Option<i64>,
    kind: u8,
}

/// Look at every entry of a tar archive inside zstd frames of `archived` bytes.
pub(super) fn read(
    source: impl Read,
    archived: u64,
    limits: &Limits,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Problem>,
) -> Result<(), Fault> {
    let source = io::BufReader::with_capacity(128 << 10, source);
    let decoder = super::zstd_decoder(source, limits)?;
    let mut stream = Bounded { inner: decoder, archived, limit: limits.most_from(archived), found: 0 };
    // What went wrong between two entries went wrong after the last one, as far as people can find it.
    let mut last = None;
    read_entries(&mut stream, limits, visit, &mut last).map_err(|fault| Fault { entry: fault.entry.or(last), ..fault })
}

fn read_entries<R: Read>(
    stream: &mut R,
    limits: &Limits,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Problem>,
    last: &mut Option<String>,
) -> Result<(), Fault> {
    let mut tree = Tree::default();
    let mut extended = Extended::default();
    // Headers that are no entries of their own count as well: an endless row of them is an attack, too.
    let mut headers: u64 = 0;
    while let Some(header) = next_header(stream)? {
        headers += 1;
        if headers > limits.entries.saturating_mul(3) {
            return Err(Fault::whole(Problem::TooManyEntries { limit: limits.entries }));
        }
        if matches!(header.kind, b'x' | b'g' | b'L' | b'K') {
            let text = read_text(stream, header.bytes, limits)?;
            match header.kind {
                b'x' => extended.read_pax(&text)?,
                b'L' => extended.name = Some(text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
                // Defaults for all entries (of `git archive`, a commit), and the long target of a link.
                _ => {}
            }
            continue;
        }
        let Extended { name, bytes, modified, is_sparse } = std::mem::take(&mut extended);
        let raw_name = name.unwrap_or(header.name);
        let bytes = bytes.unwrap_or(header.bytes);
        let shown = String::from_utf8_lossy(&raw_name).into_owned();
        *last = Fault::of(&shown, Problem::Truncated).entry;
        let fault = |problem: Problem| Fault::of(&shown, problem);
        let (plain, slash) = match raw_name.strip_suffix(b"/") {
            Some(name) => (name, true),
            None => (&raw_name[..], false),
        };
        let kind = match (header.kind, slash) {
            (b'1' | b'2', _) => return Err(fault(Problem::Link)),
            _ if is_sparse => return Err(fault(Problem::Special)),
            (b'5', _) | (b'0' | 0, true) => EntryKind::Folder,
            (b'0' | 0 | b'7', false) => EntryKind::File,
            _ => return Err(fault(Problem::Special)),
        };
        if kind == EntryKind::Folder && bytes > 0 {
            return Err(fault(Problem::Malformed("a folder has data")));
        }
        // What people make with `tar -c .` begins so.
        let plain = plain.strip_prefix(b"./").unwrap_or(plain);
        if kind == EntryKind::Folder && matches!(plain, b"." | b"") && !raw_name.starts_with(b"/") {
            continue;
        }
        let plain = if plain.is_empty() { &raw_name[..] } else { plain };
        let name = EntryName::parse(plain, limits.name_bytes).map_err(|error| fault(error.into()))?;
        tree.add(&name, kind, limits)?;
        let entry = Entry { name, kind, bytes, modified: modified.or(header.modified) };
        let mut data = EntryData::new(stream.by_ref().take(bytes), bytes, None);
        visit(&entry, &mut data).and_then(|()| Ok(data.drain()?)).map_err(fault)?;
        skip_padding(stream, bytes).map_err(|error| fault(error.into()))?;
    }
    // To the end, for the checksum of the last frame; there is nothing but zeros to come.
    let mut buffer = [0; BLOCK];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length if buffer[..length].iter().all(|byte| *byte == 0) => {}
            _ => return Err(Fault::whole(Problem::Malformed("there is something behind its end"))),
        }
    }
}

/// The next header, or `None` at the two blocks of zeros that end every archive.
fn next_header<R: Read>(stream: &mut R) -> Result<Option<Header>, Fault> {
    let mut block = [0; BLOCK];
    stream.read_exact(&mut block)?;
    if block == [0; BLOCK] {
        stream.read_exact(&mut block)?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        return Err(Fault::whole(Problem::Malformed("a block of zeros stands between entries")));
    }
    let malformed = |what| Fault::whole(Problem::Malformed(what));
    let sum = block.iter().enumerate().map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }));
    if number(&block[148..156]) != Some(sum.sum()) {
        return Err(malformed("the checksum of a header is wrong"));
    }
    let text = |range: std::ops::Range<usize>| block[range].split(|byte| *byte == 0).next().unwrap_or_default();
    let mut name = text(0..100).to_vec();
    let prefix = text(345..500);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    let bytes = number(&block[124..136]).ok_or_else(|| malformed("the size in a header is no number"))?;
    let modified = number(&block[136..148]).and_then(|seconds| i64::try_from(seconds).ok());
    Ok(Some(Header { name, bytes, modified, kind: block[156] }))
}

/// Octal digits, or, where the first bit is set, a big-endian number.
fn number(field: &[u8]) -> Option<u64> {
    if let Some(first) = field.first().filter(|first| **first & 0x80 != 0) {
        return field[1..].iter().try_fold(u64::from(first & 0x7f), |number: u64, byte| {
            number.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let digits = field.trim_ascii().split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        number.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

fn read_text<R: Read>(stream: &mut R, bytes: u64, limits: &Limits) -> Result<Vec<u8>, Fault> {
    if bytes > limits.header_bytes {
        return Err(Fault::whole(Problem::Malformed("an extended header is longer than any name needs")));
    }
    let mut text = vec![0; usize::try_from(bytes).unwrap_or(0)];
    stream.read_exact(&mut text)?;
    skip_padding(stream, bytes)?;
    Ok(text)
}

fn skip_padding<R: Read>(stream: &mut R, bytes: u64) -> io::Result<()> {
    let padding = usize::try_from(bytes.next_multiple_of(BLOCK as u64) - bytes).unwrap_or(0);
    stream.read_exact(&mut [0; BLOCK][..padding])
}

impl Extended {
    /// Records such as `30 mtime=1350244992.023960108\n`, each with its length in front.
    fn read_pax(&mut self, mut text: &[u8]) -> Result<(), Fault> {
        while !text.is_empty() {
            let record = || -> Option<(&[u8], &[u8], &[u8])> {
                let space = text.iter().position(|byte| *byte == b' ')?;
                let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
                let body = text.get(space + 1..length)?.strip_suffix(b"\n")?;
                let equals = body.iter().position(|byte| *byte == b'=')?;
                Some((&body[..equals], &body[equals + 1..], &text[length..]))
            };
            let malformed = || Fault::whole(Problem::Malformed("an extended header is no list of keys and values"));
            let (key, value, rest) = record().ok_or_else(malformed)?;
            let digits = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_owned);
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => {
                    let bytes = digits(value).and_then(|text| text.parse().ok());
                    self.bytes = Some(bytes.ok_or_else(malformed)?);
                }
                b"mtime" => {
                    let seconds = digits(value).and_then(|text| text.split('.').next()?.parse().ok());
                    self.modified = Some(seconds.ok_or_else(malformed)?);
                }
                key if key.starts_with(b"GNU.sparse") => self.is_sparse = true,
                _ => {}
            }
            text = rest;
        }
        Ok(())
    }
}
