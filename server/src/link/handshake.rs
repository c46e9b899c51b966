//! How two nodes convince each other that they know the cluster's secret.
//!
//! ```text
//! dialler                                             acceptor
//!    HELLO 1 node cluster run nonce          ──►
//!                                            ◄──   HELLO 1 node cluster run nonce
//!    PROOF hmac(secret, dialler, both HELLOs, info) info  ──►
//!                                            ◄──   PROOF hmac(secret, acceptor, …) info
//! ```
//!
//! The secret never travels. Both nonces are fresh, so a recorded proof is worth nothing; the proof
//! names its side, so it cannot be sent back to where it came from; and both HELLOs are under it,
//! so nobody in between can change them. The dialler proves first: whoever merely finds the port
//! learns nothing that would help to guess the secret.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use larder_cluster::id::NodeId;
use larder_commands::args::Args;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::Sha256;
use tokio::net::tcp::OwnedWriteHalf;

use super::LinkError;
use super::frame::{FrameReader, write_frame};
use crate::secret::ClusterSecret;

/// The version of handshake and frames.
const VERSION: &[u8] = b"1";
/// What a proof is of, so that no other use of the secret can make one.
const PURPOSE: &[u8] = b"larder link 1";
const NONCE_BYTES: usize = 32;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// Its cluster; 0 as long as it has none.
    pub cluster: u128,
    /// More, for the core of the other side; proven to be the node's own words.
    pub info: Bytes,
}

/// The peer, as proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) run: u128,
    pub(super) info: Bytes,
}

/// Which side a proof is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Dialler,
    Acceptor,
}

impl Role {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Dialler => b"dialler",
            Self::Acceptor => b"acceptor",
        }
    }
}

/// The first message of a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) node: NodeId,
    pub(super) cluster: u128,
    pub(super) run: u128,
    nonce: [u8; NONCE_BYTES],
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], LinkError> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| LinkError::NoRandomness)?;
    Ok(bytes)
}

impl Hello {
    pub(super) fn new(identity: &Identity, run: u128) -> Result<Self, LinkError> {
        Ok(Self {
            node: identity.node,
            cluster: identity.cluster,
            run,
            nonce: random()?,
        })
    }

    async fn write(&self, half: &mut OwnedWriteHalf) -> Result<(), LinkError> {
        let (node, cluster) = (self.node.0.to_be_bytes(), self.cluster.to_be_bytes());
        let run = self.run.to_be_bytes();
        write_frame(
            half,
            &[b"HELLO", VERSION, &node, &cluster, &run, &self.nonce],
        )
        .await
    }

    fn read(args: Args<'_>) -> Result<Self, LinkError> {
        if args.at(0) != b"HELLO" {
            return Err(LinkError::Unexpected("something else than HELLO"));
        }
        if args.at(1) != VERSION {
            return Err(LinkError::Unexpected("another version of HELLO"));
        }
        let broken = LinkError::Unexpected("a HELLO that is broken");
        let number = |index| args.at(index).try_into().map(u128::from_be_bytes);
        let nonce = args.at(5).try_into();
        let (Ok(node), Ok(cluster), Ok(run), Ok(nonce), 6) =
            (number(2), number(3), number(4), nonce, args.len())
        else {
            return Err(broken);
        };
        Ok(Self {
            node: NodeId(node),
            cluster,
            run,
            nonce,
        })
    }

    /// Whether a link between the two makes sense at all.
    fn check(&self, own: &Self) -> Result<(), LinkError> {
        if self.node == own.node {
            return Err(LinkError::Myself);
        }
        if self.cluster != own.cluster && self.cluster != 0 && own.cluster != 0 {
            return Err(LinkError::OtherCluster);
        }
        Ok(())
    }
}

/// Both HELLOs of a link.
struct Exchange<'a> {
    secret: &'a ClusterSecret,
    dialler: Hello,
    acceptor: Hello,
}

impl Exchange<'_> {
    fn mac(&self, role: Role, info: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes())
            .expect("a key of any length will do");
        let mut field = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_be_bytes());
            mac.update(bytes);
        };
        field(PURPOSE);
        field(role.name());
        for hello in [&self.dialler, &self.acceptor] {
            field(&hello.node.0.to_be_bytes());
            field(&hello.cluster.to_be_bytes());
            field(&hello.run.to_be_bytes());
            field(&hello.nonce);
        }
        field(info);
        mac
    }

    async fn prove(
        &self,
        role: Role,
        info: &[u8],
        half: &mut OwnedWriteHalf,
    ) -> Result<(), LinkError> {
        let proof = self.mac(role, info).finalize().into_bytes();
        write_frame(half, &[b"PROOF", &proof, info]).await
    }

    fn verify(&self, role: Role, args: Args<'_>) -> Result<Bytes, LinkError> {
        if args.at(0) != b"PROOF" || args.len() != 3 {
            return Err(LinkError::Unexpected("something else than PROOF"));
        }
        let info = args.to_bytes(2);
        // In constant time: how much of a guess is right must not show.
        self.mac(role, &info)
            .verify_slice(args.at(1))
            .map_err(|_| LinkError::WrongSecret)?;
        Ok(info)
    }
}

/// The dialler's half. `is_wanted` hears which node answers before anything is proven to it.
pub(super) async fn dial(
    own: Hello,
    identity: &Identity,
    secret: &ClusterSecret,
    (reader, writer): (&mut FrameReader, &mut OwnedWriteHalf),
    is_wanted: impl FnOnce(&Hello) -> Result<(), LinkError>,
) -> Result<Peer, LinkError> {
    own.write(writer).await?;
    let acceptor = Hello::read(reader.next().await?.as_args())?;
    acceptor.check(&own)?;
    is_wanted(&acceptor)?;
    let exchange = Exchange {
        secret,
        dialler: own,
        acceptor,
    };
    exchange
        .prove(Role::Dialler, &identity.info, writer)
        .await?;
    let info = exchange.verify(Role::Acceptor, reader.next().await?.as_args())?;
    Ok(Peer {
        node: exchange.acceptor.node,
        run: exchange.acceptor.run,
        info,
    })
}

/// The acceptor's half; `admit` decides about a peer that has proven itself, before it is told.
pub(super) async fn accept<T>(
    own: Hello,
    identity: &Identity,
    secret: &ClusterSecret,
    (reader, writer): (&mut FrameReader, &mut OwnedWriteHalf),
    admit: impl FnOnce(Peer) -> Result<T, LinkError>,
) -> Result<T, LinkError> {
    let dialler = Hello::read(reader.next().await?.as_args())?;
    dialler.check(&own)?;
    own.write(writer).await?;
    let exchange = Exchange {
        secret,
        dialler,
        acceptor: own,
    };
    let info = exchange.verify(Role::Dialler, reader.next().await?.as_args())?;
    let peer = Peer {
        node: exchange.dialler.node,
        run: exchange.dialler.run,
        info,
    };
    let admitted = admit(peer)?;
    exchange
        .prove(Role::Acceptor, &identity.info, writer)
        .await?;
    Ok(admitted)
}
