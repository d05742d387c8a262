//! The three codings behind one interface: bytes go in, what came out so far is taken.
//!
//! Levels are those at which a worker's thread, which all its connections share, is not held up: a piece of 32 KiB of
//! source code takes 0.1 to 0.6 ms. Windows are small, so that a stream needs 0.5 MiB (gzip), 1.2 MiB (zstd) or up to 4
//! MiB (Brotli); larger ones gain a few percent, and only on large bodies.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::accept::Coding;

const ZSTD_LEVEL: i32 = 3;

/// 256 KiB, and tables that go with it.
const ZSTD_WINDOW_LOG: u32 = 18;
const ZSTD_HASH_LOG: u32 = 16;
const ZSTD_CHAIN_LOG: u32 = 15;

const BROTLI_QUALITY: i32 = 4;

/// 256 KiB.
const BROTLI_WINDOW_LOG: i32 = 18;

/// What brotli hands on at once.
const BROTLI_BUFFER_BYTES: usize = 4 * 1024;

const GZIP_LEVEL: u32 = 5;

pub(super) enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// `size` is the body's length where it is known: memory is then no more than it needs.
    pub(super) fn new(coding: Coding, size: Option<u64>) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
                encoder.set_parameter(zstd::zstd_safe::CParameter::HashLog(ZSTD_HASH_LOG))?;
                encoder.set_parameter(zstd::zstd_safe::CParameter::ChainLog(ZSTD_CHAIN_LOG))?;
                encoder.set_pledged_src_size(size)?;
                Self::Zstd(encoder)
            }
            Coding::Brotli => {
                let parameters = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW_LOG,
                    size_hint: size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0),
                    ..Default::default()
                };
                let writer = brotli::CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER_BYTES, &parameters);
                Self::Brotli(Box::new(writer))
            }
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    /// Brings out all that went in, so that it can be read at the other end.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }

    /// What has come out and was not taken yet.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    /// The rest, with the coding's own end.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}
