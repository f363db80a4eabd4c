//! Writing what the runner's archiver writes: a zip archive with modes, times and owners.
//!
//! Nothing of the clock or of this program's version goes into it, so the same entries give the same bytes.

use std::io::{self, Seek, Write};

use jiff::Timestamp;
use jiff::tz::Offset;
use zip::write::{ExtendedFileOptions, FileOptions};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Extra field with times in seconds since 1970.
const TIMES: u16 = 0x5455;
/// Extra field with the owner.
const OWNER: u16 = 0x7875;
/// From this size on, the sizes of an entry have no room in its header.
const ZIP64_FROM: u64 = u32::MAX as u64;

/// What an archive keeps of a file or folder besides its name and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The permissions, without the type.
    pub mode: u32,
    /// When it was last changed, in whole seconds since 1970.
    pub modified: i64,
    /// The user and the group that own it.
    pub owner: (u32, u32),
}

/// An archive that is being written.
pub(crate) struct Writer<W: Write + Seek> {
    inner: ZipWriter<W>,
}

impl<W: Write + Seek> Writer<W> {
    /// An archive that begins where `output` stands.
    pub(crate) fn new(output: W) -> Self {
        Self { inner: ZipWriter::new(output) }
    }

    /// Add a folder. `name` has no `/` at its end.
    pub(crate) fn folder(&mut self, name: &str, metadata: Metadata) -> io::Result<()> {
        Ok(self.inner.add_directory(name, options(metadata, 0)?)?)
    }

    /// Begin a file of so many bytes. Its data is what is then written to the result.
    pub(crate) fn file(
        &mut self,
        name: &str,
        bytes: u64,
        method: CompressionMethod,
        metadata: Metadata,
    ) -> io::Result<&mut impl Write> {
        self.inner.start_file(name, options(metadata, bytes)?.compression_method(method))?;
        Ok(&mut self.inner)
    }

    /// Write the directory.
    pub(crate) fn finish(self) -> io::Result<W> {
        Ok(self.inner.finish()?)
    }
}

fn options(metadata: Metadata, bytes: u64) -> io::Result<FileOptions<'static, 'static, ExtendedFileOptions>> {
    let mut options = FileOptions::<ExtendedFileOptions>::default()
        .unix_permissions(metadata.mode)
        .large_file(bytes >= ZIP64_FROM)
        .last_modified_time(dos_time(metadata.modified));
    // 1: only the time of the last change follows. The runner reads and writes its 32 bits without a sign, so that they last
    // until 2106; what they can't hold is left to the coarser time.
    if let Ok(seconds) = u32::try_from(metadata.modified) {
        let [a, b, c, d] = seconds.to_le_bytes();
        options.add_extra_field(TIMES, [1, a, b, c, d], false)?;
    }
    // Version 1, then each number with its length in front.
    let (user, group) = (metadata.owner.0.to_le_bytes(), metadata.owner.1.to_le_bytes());
    let owner = [&[1, 4][..], &user, &[4], &group].concat();
    options.add_extra_field(OWNER, owner, false)?;
    Ok(options)
}

/// For programs that know no extra fields: in UTC, from 1980 on.
fn dos_time(seconds: i64) -> DateTime {
    let time = Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or_default());
    let part = |value: i8| u8::try_from(value).unwrap_or(0);
    let year = u16::try_from(time.year()).unwrap_or(0);
    let (month, day) = (part(time.month()), part(time.day()));
    let (hour, minute, second) = (part(time.hour()), part(time.minute()), part(time.second()));
    DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap_or_default()
}
