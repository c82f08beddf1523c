import { duplexPair, tunnelPair } from "../test/unit/stdio-tunnel/carriers.ts";
import { pseudoRandom, sha256 } from "../test/fixtures/far/pseudo-random.ts";
const mode = process.argv[2];
const pair = duplexPair();
const {sender, receiver} = await tunnelPair(pair);
const N=5_000_001;
sender.listen("down",(s)=>{pseudoRandom(1,N).pipe(s.resume())});
sender.listen("up",(s)=>{void sha256(s).then(d=>s.end(d))});
const t=setTimeout(()=>{ 
 for (const p of pair) { const q=p as any; console.log("read",q.bytesRead,"written",q.bytesWritten,"rlen",q.readableLength,"flow",q.readableFlowing,"wlen",q.writableLength,"needDrain",q.writableNeedDrain, "corked", q.writableCorked); }
 process.exit(1)},3000);
const jobs=[];
if (mode.includes("d")) jobs.push(sha256(receiver.connect("down").end()).then(()=>console.log("down ok")));
if (mode.includes("D")) jobs.push(sha256(receiver.connect("down").end()).then(()=>console.log("down ok")));
if (mode.includes("u")) jobs.push((async()=>{const s=pseudoRandom(1,N).pipe(receiver.connect("up")); await s.toArray(); console.log("up ok")})());
if (mode.includes("U")) jobs.push((async()=>{const s=pseudoRandom(1,N).pipe(receiver.connect("up")); await s.toArray(); console.log("up ok")})());
await Promise.all(jobs);
clearTimeout(t);
await receiver.close(); await sender.close();
