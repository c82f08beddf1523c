import { script } from "./script.ts";

/** BullMQ's lowest priority is 2^21. */
const HIGHEST_TAG = 2 ** 21 - 1;

/**
 * Accepts a job. Owners take turns by start-time fair queueing, with jobs of equal length: the tag of a job is max(v,
 * the finish tag of the owner's previous job) + 1, and v follows the tags of taken jobs. Tags restart when nothing is
 * queued; at the highest tag, jobs are taken in the order of their arrival.
 *
 * ARGV: id, owner, full name, spec, webhook, sealed credentials, maximum running jobs of the owner, maximum queued jobs
 * of the owner, maximum queued jobs of all, hash of the idempotency key, fingerprint, ms until the key expires, whether
 * the log is stored elsewhere, bytes of the body; "" for an omitted value. Returns `added, tag`, `known, id`,
 * `conflict`, `full`, or `full-owner`.
 */
export const ADD = script(`
local _, id, owner, name, spec, webhook, sealed, running, ownQueued, allQueued, idem, print, ttl, keeps, bytes = unpack(ARGV)
if idem ~= '' then
  local known, other = unpack(call('HMGET', key('key', idem), 'id', 'fingerprint'))
  if known and call('EXISTS', key('job', known)) == 1 then
    if other == print then return { 'known', known } end
    return { 'conflict' }
  end
end
local queued = call('ZCARD', key('state', 'queued'))
if queued >= tonumber(allQueued) then return { 'full' } end
if ownQueued ~= '' and tonumber(call('HGET', key('owner', owner), 'queued') or 0) >= tonumber(ownQueued) then return { 'full-owner' } end
local v, last
if queued > 0 then v, last = unpack(call('HMGET', key('fair'), 'v', 'o:' .. owner)) end
local tag = math.min(math.max(tonumber(v or 0), tonumber(last or 0)) + 1, ${HIGHEST_TAG})
local at = clock()
-- The first write needs memory: Redis refuses it when it has none, and only the first one of a script.
set(id, 'owner', owner, 'fullName', name, 'spec', spec, 'tag', tag, 'acceptedAt', at, 'attempts', 0, 'run', 0, 'bytes', bytes)
if queued == 0 then call('DEL', key('fair')) end
call('HSET', key('fair'), 'o:' .. owner, tag)
if webhook ~= '' then set(id, 'webhook', webhook) end
if sealed ~= '' then set(id, 'sealed', sealed, 'hasCredentials', 1) end
if running ~= '' then set(id, 'maxRunning', running) end
if keeps ~= '' then set(id, 'keepsLog', 1) end
call('ZADD', key('ids'), 0, id)
move(id, 'queued')
if idem ~= '' then
  set(id, 'idem', idem)
  call('HSET', key('key', idem), 'id', id, 'fingerprint', print)
  call('PEXPIRE', key('key', idem), ttl)
end
publish('job', id)
return { 'added', tag }
`);

/**
 * Takes a job for a run. A running job is taken over if its lease has expired, and its worker has not come back within
 * a grace period after that was detected: when Redis was unavailable for a while, all leases have expired although the
 * workers continue.
 *
 * ARGV: id, worker, engine, token of BullMQ, ms of a lease, ms of the grace period, maximum number of runs, reason
 * after the last run, reason of a cancelled job. Returns `taken, run`; `wait, ms` for a job that may not run yet;
 * `parked` for a job whose image name or owner is busy; `gone` for a job that is over, and parked jobs that may run
 * instead.
 */
export const TAKE = script(`
local _, id, worker, engine, token, lease, grace, most, lost, cancelled = unpack(ARGV)
local now = clock()
local state, name, owner, tag, attempts, ends, held, missed, notBefore, isCancelled, mostRunning, accepted, run =
  get(id, 'state', 'fullName', 'owner', 'tag', 'attempts', 'lease', 'token', 'missed', 'notBefore', 'cancelledAt', 'maxRunning', 'acceptedAt', 'run')
if not state or not (state == 'queued' or isRunning(state)) then return { 'gone' } end
if isRunning(state) then
  if held == token then return { 'taken', run } end
  if tonumber(ends or 0) > now then return { 'wait', tonumber(ends) - now } end
  if not missed then
    set(id, 'missed', now)
    return { 'wait', tonumber(grace) }
  end
  if now - missed < tonumber(grace) then return { 'wait', grace - (now - missed) } end
  local freed
  if isCancelled then freed = over(id, 'cancelled', cancelled)
  elseif tonumber(attempts) >= tonumber(most) then freed = over(id, 'failed', lost) end
  if freed then return { 'gone', unpack(freed) } end
end
if tonumber(notBefore or 0) > now then return { 'wait', tonumber(notBefore) - now } end
if isNameBusy(name, id) then
  call('ZADD', key('parked', 'name', name), tag, id)
  return { 'parked' }
end
if mostRunning and othersRunning(owner, id) >= tonumber(mostRunning) then
  call('ZADD', key('parked', 'owner', owner), tag, id)
  return { 'parked' }
end
call('ZREM', key('parked', 'name', name), id)
call('ZREM', key('parked', 'owner', owner), id)
call('SET', key('name', name), id)
call('SADD', key('running', owner), id)
local v = tonumber(call('HGET', key('fair'), 'v') or 0)
call('HSET', key('fair'), 'v', math.max(v, tag - 1))
local job = key('job', id)
call('HDEL', job, 'reason', 'notBefore', 'missed', 'phase:fetch', 'phase:context', 'phase:build', 'phase:push', 'phase:purge')
call('HINCRBY', job, 'attempts', 1)
run = call('HINCRBY', job, 'run', 1)
set(id, 'worker', worker, 'engine', engine, 'token', token, 'lease', now + lease, 'startedAt', now, 'logNext', 0, 'phase:queue', math.max(0, now - accepted))
move(id, 'running')
publish('job', id)
return { 'taken', tostring(run) }
`);

/**
 * Checks whether a parked job may run that could not run when {@link TAKE} checked; otherwise it stays parked. ARGV:
 * id. Returns 1 or 0.
 */
export const MAY_RUN = script(`
local id = ARGV[2]
local name, owner, tag, most = get(id, 'fullName', 'owner', 'tag', 'maxRunning')
if not name then return 1 end
if isNameBusy(name, id) then
  call('ZADD', key('parked', 'name', name), tag, id)
  return 0
end
if most and othersRunning(owner, id) >= tonumber(most) then
  call('ZADD', key('parked', 'owner', owner), tag, id)
  return 0
end
return 1
`);

/**
 * Renews the leases of jobs. ARGV: ms of a lease, followed by id and run of each job. Returns for each `ok`,
 * `cancelled`, or `lost`: another run owns it.
 */
export const HEARTBEAT = script(`
local lease = tonumber(ARGV[2])
local now = clock()
local answers = {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local answer = 'lost'
  if owns(id, ARGV[i + 1]) then
    set(id, 'lease', now + lease)
    call('HDEL', key('job', id), 'missed')
    answer = get(id, 'cancelledAt') and 'cancelled' or 'ok'
  end
  answers[#answers + 1] = answer
end
return answers
`);

/**
 * Stores the changes that a run reports. ARGV: id, run, state or "", followed by fields and values. Returns 0 if the
 * run does not own the job.
 */
export const UPDATE = script(`
local id = ARGV[2]
if not owns(id, ARGV[3]) then return 0 end
if ARGV[4] ~= '' then move(id, ARGV[4]) end
if #ARGV > 4 then set(id, unpack(ARGV, 5)) end
publish('job', id)
return 1
`);

/**
 * Adds lines to a log; skips lines that an unanswered attempt has already added. ARGV: id, run, number of the first
 * line in this run, maximum bytes and lines of a log, the line after the last one, followed by lines. Returns `ok`,
 * `cut` for a full log, `lost` if the run does not own the job.
 */
export const LOG = script(`
local _, id, run, first, mostBytes, mostLines, last = unpack(ARGV, 1, 7)
if not owns(id, run) then return 'lost' end
local next, bytes, lines, cut = get(id, 'logNext', 'logBytes', 'logLines', 'logCut')
next, bytes, lines, first = tonumber(next or 0), tonumber(bytes or 0), tonumber(lines or 0), tonumber(first)
for i = 8, #ARGV do
  local number = first + i - 8
  if number >= next and not cut then
    local text = ARGV[i]
    if bytes + #text > tonumber(mostBytes) or lines + 1 > tonumber(mostLines) then
      text = last
      cut = '1'
      set(id, 'logCut', 1)
    end
    call('XADD', key('log', id), '*', 't', text)
    bytes = bytes + #text + 1
    lines = lines + 1
  end
end
set(id, 'logNext', math.max(next, first + #ARGV - 7), 'logBytes', bytes, 'logLines', lines)
publish('log', id)
return cut and 'cut' or 'ok'
`);

/**
 * Ends a job, for the run that owns it. ARGV: id, run, state, reason or "". Returns 0 if the run does not own the job;
 * otherwise 1, and parked jobs that may run instead.
 */
export const FINISH = script(`
local _, id, run, state, reason = unpack(ARGV)
if owns(id, run) then return { 1, unpack(over(id, state, reason)) } end
if get(id, 'run') == run and get(id, 'state') == state then return { 1 } end
return { 0 }
`);

/**
 * Queues a job again, or ends it after its last run. ARGV: id, run, reason, ms of delay, whether this run does not
 * count, maximum number of runs, reason of a cancelled job. Returns 0 if the run does not own the job; otherwise 1,
 * whether it is over, and parked jobs that may run instead.
 */
export const AGAIN = script(`
local _, id, run, reason, delay, isFree, most, cancelled = unpack(ARGV)
if not owns(id, run) then return { 0 } end
local attempts, isCancelled = get(id, 'attempts', 'cancelledAt')
if isCancelled then return { 1, 1, unpack(over(id, 'cancelled', cancelled)) } end
if isFree == '' and tonumber(attempts) >= tonumber(most) then return { 1, 1, unpack(over(id, 'failed', reason)) } end
if isFree ~= '' then call('HINCRBY', key('job', id), 'attempts', -1) end
local freed = release(id)
local now = clock()
call('HINCRBY', key('job', id), 'run', 1)
set(id, 'reason', reason, 'notBefore', now + delay)
move(id, 'queued')
publish('job', id)
return { 1, 0, unpack(freed) }
`);

/**
 * Cancels a job. ARGV: id, reason. Returns `over` for a queued job, `asked` for a running one, `none` if nothing
 * changes.
 */
export const CANCEL = script(`
local _, id, reason = unpack(ARGV)
local state, cancelled = get(id, 'state', 'cancelledAt')
if not state or cancelled or not (state == 'queued' or isRunning(state)) then return 'none' end
set(id, 'cancelledAt', clock())
if state == 'queued' then
  over(id, 'cancelled', reason)
  return 'over'
end
publish('cancel', id)
publish('job', id)
return 'asked'
`);

/** Removes a job that is over, with its log. ARGV: id. */
export const REMOVE = script(`
local id = ARGV[2]
local state, owner, idem = get(id, 'state', 'owner', 'idem')
if not state or state == 'queued' or isRunning(state) then return 0 end
call('ZREM', key('state', state), id)
if call('HINCRBY', key('owner', owner), state, -1) <= 0 then call('HDEL', key('owner', owner), state) end
for _, set in ipairs({ 'ids', 'over' }) do call('ZREM', key(set), id) end
for _, set in ipairs({ 'hooks', 'keep' }) do call('SREM', key(set), id) end
if idem then call('DEL', key('key', idem)) end
call('DEL', key('job', id), key('log', id))
publish('job', id)
return 1
`);

/**
 * Stores a delivery of a webhook. ARGV: id, the webhook as JSON, time of the next attempt, or "". Returns 0 if the job
 * no longer exists.
 */
export const DELIVERED = script(`
local _, id, webhook, next = unpack(ARGV)
if not get(id, 'state') then return 0 end
set(id, 'webhook', webhook)
if next == '' then
  call('SREM', key('hooks'), id)
  call('HDEL', key('job', id), 'hookAt')
else
  set(id, 'hookAt', next)
end
publish('job', id)
return 1
`);
