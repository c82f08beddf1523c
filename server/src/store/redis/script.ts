import { createHash } from "node:crypto";

/** A Lua script. Redis runs it atomically: completely or not at all, and without other commands in between. */
export interface Script {
  readonly lua: string;
  /** SHA-1, by which Redis identifies it */
  readonly sha: string;
}

/**
 * The beginning of all scripts. ARGV[1] is the prefix of keys. Scripts create keys, so the store supports one Redis
 * (with replicas), but not a cluster.
 *
 * | key | content |
 * | --- | --- |
 * | `job:ID` | hash: the job's record, see record.ts |
 * | `ids`, `state:STATE` | sorted sets of IDs with score 0: all jobs, and those in a state |
 * | `owner:OWNER` | hash: how many jobs of an owner are in each state |
 * | `waiting` | sorted set: queued jobs by their tag |
 * | `fair` | hash: `v`, the virtual time, and `o:OWNER`, the finish tag of an owner's last job |
 * | `name:NAME` | the ID of the job that builds this name |
 * | `running:OWNER` | set: running jobs of an owner |
 * | `parked:name:NAME`, `parked:owner:OWNER` | sorted sets: queued jobs that wait for this name or owner, by tag |
 * | `over` | sorted set: jobs that are over, by the time of their end |
 * | `hooks`, `keep` | sets of IDs: webhooks to deliver, logs to store elsewhere |
 * | `log:ID` | stream: the log |
 * | `key:HASH` | hash: an idempotency key |
 * | `changes` | channel: `job ID`, `log ID`, `cancel ID` |
 */
const PRELUDE = `
local P = ARGV[1]
local call = redis.call
local function key(...) return P .. ':' .. table.concat({...}, ':') end
local now_
local function clock()
  if not now_ then
    local t = call('TIME')
    now_ = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return now_
end
local function get(id, ...) return unpack(call('HMGET', key('job', id), ...)) end
local function set(id, ...) call('HSET', key('job', id), ...) end
local function publish(what, id) call('PUBLISH', key('changes'), what .. ' ' .. id) end

-- Moves a job to a state, in its record and in all that counts or lists states.
local function move(id, to)
  local from, owner, tag = get(id, 'state', 'owner', 'tag')
  if from == to then return end
  if from then
    call('ZREM', key('state', from), id)
    call('HINCRBY', key('owner', owner), from, -1)
  end
  set(id, 'state', to)
  call('ZADD', key('state', to), 0, id)
  call('HINCRBY', key('owner', owner), to, 1)
  if to == 'queued' then call('ZADD', key('waiting'), tag, id) else call('ZREM', key('waiting'), id) end
end

-- Takes the first queued job from a set of parked ones.
local function unpark(set, into)
  while true do
    local first = call('ZPOPMIN', set)[1]
    if not first then return end
    if get(first, 'state') == 'queued' then
      into[#into + 1] = first
      return
    end
  end
end

-- Ends the lease of a job. Returns parked jobs that may run instead.
local function release(id)
  local name, owner = get(id, 'fullName', 'owner')
  local freed = {}
  if call('GET', key('name', name)) == id then
    call('DEL', key('name', name))
    unpark(key('parked', 'name', name), freed)
  end
  if call('SREM', key('running', owner), id) == 1 then unpark(key('parked', 'owner', owner), freed) end
  call('HDEL', key('job', id), 'lease', 'token', 'missed')
  return freed
end

-- Ends a job. Its credentials go.
local function over(id, state, reason)
  local at = clock()
  move(id, state)
  set(id, 'finishedAt', at)
  call('HDEL', key('job', id), 'sealed', 'notBefore')
  if reason == '' then call('HDEL', key('job', id), 'reason') else set(id, 'reason', reason) end
  call('ZADD', key('over'), at, id)
  if get(id, 'webhook') then
    call('SADD', key('hooks'), id)
    set(id, 'hookAt', at)
  end
  local lines, keeps = get(id, 'logLines', 'keepsLog')
  if lines and keeps then call('SADD', key('keep'), id) end
  publish('job', id)
  return release(id)
end

local function isRunning(state) return state == 'running' or state == 'pushing' end

-- Whether another job builds an image name. The job of a dead worker does so until it is taken over, or over.
local function isNameBusy(name, id)
  local holder = call('GET', key('name', name))
  return holder and holder ~= id and isRunning(get(holder, 'state'))
end

-- Returns how many other jobs of an owner run.
local function othersRunning(owner, id)
  local count = 0
  for _, other in ipairs(call('SMEMBERS', key('running', owner))) do
    if other ~= id and isRunning(get(other, 'state')) then count = count + 1 end
  end
  return count
end

-- Whether a run is the one that owns the job: each run has a number of its own, and the last one that has begun owns it.
local function owns(id, run)
  local last, state = get(id, 'run', 'state')
  return last == run and isRunning(state)
end
`;

export function script(body: string): Script {
  const lua = PRELUDE + body;
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}
