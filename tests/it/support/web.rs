//! A browser by hand: HTTP/1.1 over a bare socket, and gRPC-Web frames.

use std::fmt::Display;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request of gRPC-Web for a method of the gateway at this host, with more header lines such as `"origin: http://localhost"`.
pub fn post(host: impl Display, method: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "POST /tidegate.v1.Gateway/{method} HTTP/1.1\r\nhost: {host}\r\n\
         content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\ncontent-length: {}\r\n",
        body.len()
    );
    for header in headers {
        head += &format!("{header}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A message as a frame: flag, length, bytes.
pub fn frame(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

/// The whole frames of a body, each with its flag (0x80: trailers), and what is left behind them.
pub fn frames(mut body: &[u8]) -> (Vec<(u8, Vec<u8>)>, usize) {
    let mut frames = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some((message, behind)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push((*flag, message.to_vec()));
        body = behind;
    }
    (frames, body.len())
}

/// One connection.
pub struct Wire {
    socket: Box<dyn Socket>,
    /// What came and was not taken yet.
    buffer: Vec<u8>,
}

/// TCP, or TLS over it.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        // What is written in pieces is to arrive in pieces.
        socket.set_nodelay(true).unwrap();
        Self::over(socket)
    }

    pub fn over(socket: impl Socket + 'static) -> Self {
        Self {
            socket: Box::new(socket),
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    /// In two pieces, the second after the gateway's tasks had a turn.
    pub async fn send_split(&mut self, bytes: &[u8], at: usize) {
        self.send(&bytes[..at]).await;
        tokio::task::yield_now().await;
        self.send(&bytes[at..]).await;
    }

    pub async fn shut(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// A whole answer.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            answer.body = self.take(length).await;
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    return answer;
                }
                answer.body.extend(chunk);
            }
        }
        answer
    }

    /// The status line and the headers.
    pub async fn head(&mut self) -> Answer {
        let status = self.line().await;
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Answer {
            status,
            headers,
            body: Vec::new(),
        }
    }

    /// The next piece of a chunked body; empty: it ended.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.take(size).await;
        self.line().await;
        chunk
    }

    async fn line(&mut self) -> String {
        loop {
            let end = self.buffer.windows(2).position(|pair| pair == b"\r\n");
            if let Some(end) = end {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            self.fill().await;
        }
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            self.fill().await;
        }
        self.buffer.drain(..count).collect()
    }

    async fn fill(&mut self) {
        let read = self.socket.read_buf(&mut self.buffer).await.unwrap();
        assert_ne!(
            read,
            0,
            "the gateway hung up after {:?}",
            String::from_utf8_lossy(&self.buffer)
        );
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(present, _)| present == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The status of gRPC: in the headers, or in the trailers' frame at the end of the body.
    pub fn grpc_status(&self) -> i32 {
        if let Some(status) = self.header("grpc-status") {
            return status.parse().unwrap();
        }
        let (frames, _) = frames(&self.body);
        let (_, trailers) = frames.iter().find(|(flag, _)| *flag == 0x80).unwrap();
        let trailers = String::from_utf8_lossy(trailers);
        let status = trailers
            .lines()
            .find_map(|line| line.strip_prefix("grpc-status:"));
        status.unwrap().trim().parse().unwrap()
    }

    /// The first message.
    pub fn message<M: prost::Message + Default>(&self) -> M {
        let (frames, _) = frames(&self.body);
        let (_, message) = frames.iter().find(|(flag, _)| *flag == 0).unwrap();
        M::decode(&message[..]).unwrap()
    }
}
