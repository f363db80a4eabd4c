//! Tar archives compressed with zstd: what the runner writes with `CACHE_COMPRESSION_FORMAT: tarzstd`.
//!
//! Formats: POSIX `ustar` and pax as Go writes them, long names of GNU tar. The headers are read here because the `tar` crate
//! leaves a choice of two evils. Its usual way reads a long name, or a pax header, into memory however long it is, and can't be
//! told otherwise: a few megabytes of zstd would become gigabytes. Its raw way hands out such headers as entries, but then takes
//! the size of the next entry from its own header, where a blob of 8 GiB and more says zero, and the walk is lost.
//!
//! zstd itself refuses frames that ask for more than 128 MiB of memory; the runner's ask for 8.

use std::io::{self, Read};

use super::entry::{Capped, Entry, EntryKind, Intake, LINK, SPECIAL};
use super::error::{Problem, Stop, printable};
use super::limits::Limits;

const BLOCK: usize = 512;

/// One header block, or what the headers before it say instead.
#[derive(Debug, Default)]
struct Header {
    name: Option<Vec<u8>>,
    bytes: Option<u64>,
    modified: Option<i64>,
    kind: Option<u8>,
}

/// Look at every entry of a tar archive inside zstd frames of `archived` bytes.
pub(super) fn read<E>(source: impl Read, archived: u64, intake: &mut Intake<'_, E>) -> Result<(), Stop<E>> {
    let limits = intake.limits;
    let decoder = zstd::Decoder::with_buffer(io::BufReader::with_capacity(128 << 10, source))?;
    let mut stream = Capped { inner: decoder, left: limits.most_from(archived), beyond: || limits.bomb(archived) };
    let mut extended = Header::default();
    while let Some(header) = next_header(&mut stream)? {
        let bytes = header.bytes.unwrap_or(0);
        match header.kind {
            Some(b'x') => extended.read_pax(&read_text(&mut stream, bytes, limits)?)?,
            Some(b'L') => extended.name = Some(until_nul(&read_text(&mut stream, bytes, limits)?)),
            // Defaults for all entries (of `git archive`, a commit), and the long target of a link.
            Some(b'g' | b'K') => drop(read_text(&mut stream, bytes, limits)?),
            _ => {
                let header = std::mem::take(&mut extended).or(header);
                let bytes = header.bytes.unwrap_or(0);
                intake.last = header.name.as_deref().map(printable);
                let entry = header.into_entry(intake)?;
                let mut data = stream.by_ref().take(bytes);
                entry.map_or(Ok(()), |entry| (intake.visit)(&entry, &mut data))?;
                io::copy(&mut data, &mut io::sink())?;
                if data.limit() > 0 {
                    return Err(Problem::Truncated.into());
                }
                skip_padding(&mut stream, bytes)?;
            }
        }
    }
    // To the end, for the checksum of the last frame.
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

/// The next header, or `None` at the zeros that end every archive.
fn next_header(stream: &mut impl Read) -> Result<Option<Header>, Problem> {
    let mut block = [0; BLOCK];
    stream.read_exact(&mut block)?;
    if block == [0; BLOCK] {
        return Ok(None);
    }
    let sum = block.iter().enumerate().map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }));
    if number(&block[148..156]) != Some(sum.sum()) {
        return Err(Problem::Damaged("the checksum of a header is wrong".into()));
    }
    let mut name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        name = [&prefix[..], b"/", &name].concat();
    }
    let bytes = number(&block[124..136]).ok_or(Problem::Damaged("the size in a header is no number".into()))?;
    let modified = number(&block[136..148]).and_then(|seconds| i64::try_from(seconds).ok());
    Ok(Some(Header { name: Some(name), bytes: Some(bytes), modified, kind: Some(block[156]) }))
}

/// Octal digits, or, where those are too few, a big-endian number.
fn number(field: &[u8]) -> Option<u64> {
    if let Some(number) = field.strip_prefix(b"\x80\0\0\0") {
        return Some(u64::from_be_bytes(number.try_into().ok()?));
    }
    let digits = field.trim_ascii().split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    u64::from_str_radix(&format!("0{}", std::str::from_utf8(digits).ok()?), 8).ok()
}

fn until_nul(text: &[u8]) -> Vec<u8> {
    text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn read_text(stream: &mut impl Read, bytes: u64, limits: &Limits) -> Result<Vec<u8>, Problem> {
    if bytes > limits.header_bytes {
        return Err(Problem::Damaged("an extended header is longer than any name needs".into()));
    }
    let mut text = vec![0; usize::try_from(bytes).unwrap_or(0)];
    stream.read_exact(&mut text)?;
    skip_padding(stream, bytes)?;
    Ok(text)
}

fn skip_padding(stream: &mut impl Read, bytes: u64) -> io::Result<()> {
    let padding = usize::try_from(bytes.next_multiple_of(BLOCK as u64) - bytes).unwrap_or(0);
    stream.read_exact(&mut [0; BLOCK][..padding])
}

impl Header {
    fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            bytes: self.bytes.or(other.bytes),
            modified: self.modified.or(other.modified),
            kind: self.kind.or(other.kind),
        }
    }

    /// The entry, if it is harmless; `None` for the folder that `tar -c .` begins with.
    fn into_entry<E>(self, intake: &mut Intake<'_, E>) -> Result<Option<Entry>, Problem> {
        let raw = self.name.unwrap_or_default();
        let kind = match self.kind.unwrap_or(0) {
            b'1' | b'2' => return Err(Problem::Foreign(LINK.into())),
            b'5' => EntryKind::Folder,
            b'0' | 0 | b'7' => EntryKind::File,
            _ => return Err(Problem::Foreign(SPECIAL.into())),
        };
        if matches!(&raw[..], b"." | b"./") {
            return Ok(None);
        }
        // What `tar -c ./x` writes begins so.
        let (name, slash) = intake.admit(raw.strip_prefix(b"./").unwrap_or(&raw))?;
        let kind = if slash { EntryKind::Folder } else { kind };
        Ok(Some(Entry { name, kind, bytes: self.bytes.unwrap_or(0), modified: self.modified }))
    }

    /// Records such as `30 mtime=1350244992.023960108\n`, each with its length in front.
    fn read_pax(&mut self, mut text: &[u8]) -> Result<(), Problem> {
        while !text.is_empty() {
            text = self
                .read_record(text)
                .ok_or_else(|| Problem::Damaged("an extended header is no list of keys and values".into()))?;
        }
        Ok(())
    }

    /// Take the first record. Returns the others, or `None` where it is no record.
    fn read_record<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let digits = text.split(|byte| *byte == b' ').next()?;
        let (record, rest) = text.split_at_checked(std::str::from_utf8(digits).ok()?.parse().ok()?)?;
        let record = record.get(digits.len() + 1..)?.strip_suffix(b"\n")?;
        let (key, value) = record.split_at_checked(record.iter().position(|byte| *byte == b'=')?)?;
        let value = &value[1..];
        let number = || std::str::from_utf8(value).ok();
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"size" => self.bytes = Some(number()?.parse().ok()?),
            b"mtime" => self.modified = Some(number()?.split('.').next()?.parse().ok()?),
            key if key.starts_with(b"GNU.sparse") => self.kind = Some(b'S'),
            _ => {}
        }
        Some(rest)
    }
}
