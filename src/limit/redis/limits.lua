-- All limits of one request in one go. Every number stays below 2^52, where a double is exact: the
-- caller scales what it sends, and levels are cut at 2^51.
--
-- ARGV[1] says what is wanted; the rest follows it. The time is the server's, in microseconds.
--   take  deadline id ttl, then each demand    peek  deadline id ttl, then each demand
--   lease deadline id ttl, then each demand: of each limit as much as there is, up to its cost
--   settle, then each change                   renew  ttl, then key and id of each slot
--   probe: nothing follows
-- KEYS are two for each demand: the hash of its limits and the sorted set of its slots.
-- A limit that flows back is kept as "b level at amount per tick", one by the day as
-- "d used end scale most".
local MOST = 2251799813685248
-- Converting between limits is not exact: what is used is never made less by it.
local UP = 1 + 8.9e-16

local clock = redis.call('TIME')
local secs = tonumber(clock[1])
local now = secs * 1000000 + tonumber(clock[2])
local at = 1

local function text()
  at = at + 1
  return ARGV[at]
end

local function number()
  return tonumber(text())
end

local function cut(x)
  if x > MOST then return MOST end
  return x
end

local function plain(x)
  return string.format('%.0f', x)
end

local function flow()
  return { kind = 'b', amount = number(), per = number(), tick = number(), cost = number(), most = number() }
end

local function day()
  return { kind = 'd', scale = number(), begin = number(), fin = number(), after = number(), cost = number(), most = number() }
end

local function read(value)
  local word = string.gmatch(value, '%S+')
  if word() == 'b' then
    return { kind = 'b', level = tonumber(word()), at = tonumber(word()), amount = word(), per = word(), tick = word() }
  end
  return { kind = 'd', used = tonumber(word()), fin = tonumber(word()), scale = word(), most = tonumber(word()) }
end

-- What is used, in the limit's own unit.
local function used(state)
  if state.kind == 'b' then
    return state.level * tonumber(state.tick) / tonumber(state.per) * tonumber(state.amount)
  end
  return state.used * tonumber(state.scale)
end

-- When the day ends that is counted now, of the three that a node names. One whose clock is days off
-- names none of now: then days of the same length, that end when its own do.
local DAY = 86400

local function ending(want)
  if secs < want.begin - 2 * DAY then return want.begin - DAY * math.floor((want.begin - secs - 1) / DAY) end
  if secs < want.begin then return want.begin end
  if secs < want.fin then return want.fin end
  if secs < want.after then return want.after end
  return want.after + DAY * (1 + math.floor((secs - want.after) / DAY))
end

local function advance(state, want)
  if state.kind == 'b' then
    local passed = now - state.at
    if passed > 0 then
      local each = 1000 / tonumber(state.tick)
      if passed >= state.level / each then
        state.level = 0
      else
        state.level = state.level - passed * each
      end
      state.at = now
    end
  elseif state.fin <= secs then
    -- What was owed is owed still.
    state.used = math.max(0, state.used - state.most)
    state.fin = ending(want)
  end
end

local function fresh(want, amount)
  if want.kind == 'b' then
    local level = 0
    if amount > 0 then
      level = cut(math.ceil(amount / want.amount * want.per / want.tick * UP))
    end
    return { kind = 'b', level = level, at = now, amount = plain(want.amount), per = plain(want.per), tick = plain(want.tick) }
  end
  local state = { kind = 'd', used = 0, fin = 0, scale = plain(want.scale), most = want.most }
  advance(state, want)
  if amount > 0 then
    state.used = cut(math.ceil(amount / want.scale * UP))
  end
  return state
end

local function same(state, want)
  if state.kind ~= want.kind then return false end
  if want.kind == 'b' then
    return state.amount == plain(want.amount) and state.per == plain(want.per) and state.tick == plain(want.tick)
  end
  return state.scale == plain(want.scale) and state.most == want.most
end

-- The state of a limit now; of one that has changed, with what was used.
local function load(value, want)
  if not value then return fresh(want, 0) end
  local state = read(value)
  if state.kind == 'd' and want.kind == 'b' then
    if state.fin <= secs then state.used = math.max(0, state.used - state.most) end
  else
    advance(state, want)
  end
  if same(state, want) then return state end
  local now_is = fresh(want, used(state))
  if state.kind == 'd' and want.kind == 'd' then now_is.fin = state.fin end
  return now_is
end

-- Keeps a state, and its hash for as long as it says anything.
local function keep(key, field, state)
  local value, stay
  if state.kind == 'b' then
    value = 'b ' .. plain(state.level) .. ' ' .. plain(state.at) .. ' ' .. state.amount .. ' ' .. state.per .. ' ' .. state.tick
    stay = math.ceil(state.level * tonumber(state.tick) / 1000000) + math.max(0, math.ceil((state.at - now) / 1000))
  else
    value = 'd ' .. plain(state.used) .. ' ' .. plain(state.fin) .. ' ' .. state.scale .. ' ' .. plain(state.most)
    local days = 1 + math.floor(state.used / math.max(1, state.most))
    stay = (state.fin - secs) * 1000 + days * 90000000
  end
  redis.call('HSET', key, field, value)
  stay = math.min(stay + 1000, 4000000000000)
  if redis.call('PTTL', key) < stay then
    redis.call('PEXPIRE', key, plain(stay))
  end
end

-- What is owed under a limit that counts over another time by now is owed there; whether there is such a one.
local function owed_elsewhere(key, field, want)
  local unit, all = string.sub(field, 1, 1), redis.call('HGETALL', key)
  local heir, state
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == unit and (not heir or all[i] < heir) then
      heir, state = all[i], read(all[i + 1])
    end
  end
  if not heir then return false end
  local units
  if want.kind == 'b' then
    units = want.cost * want.tick / want.per * want.amount
  else
    units = want.cost * want.scale
  end
  if state.kind == 'b' then
    advance(state, want)
    local owed = units / tonumber(state.amount) * tonumber(state.per) / tonumber(state.tick)
    state.level = cut(state.level + math.ceil(owed * UP))
  else
    state.used = cut(state.used + math.ceil(units / tonumber(state.scale) * UP))
  end
  keep(key, heir, state)
  return true
end

local lease = ARGV[1] == 'lease'
if ARGV[1] == 'take' or ARGV[1] == 'peek' or lease then
  local deadline = number()
  if deadline > 0 and now > deadline then return { 0, now } end
  local id, ttl = text(), number()
  local refused = false
  local answer = { 1, now }
  local changes, slots = {}, {}
  for demand = 1, #KEYS / 2 do
    local hash, set = KEYS[demand * 2 - 1], KEYS[demand * 2]
    local most = number()
    local names = { id }
    if lease then
      names = {}
      for name = 1, number() do names[name] = text() end
    end
    if most >= 0 then
      local count = redis.call('ZCOUNT', set, '(' .. plain(math.floor(now / 1000)), '+inf')
      if lease then
        while #names > math.max(0, most - count) do table.remove(names) end
      elseif count >= most then
        refused = true
      end
      slots[#slots + 1] = { set = set, at = #answer + 1, names = names }
      answer[#answer + 1] = count
    else
      names = {}
      answer[#answer + 1] = -1
    end
    if lease then answer[#answer + 1] = #names end
    local wants, named = {}, {}
    for limit = 1, number() do
      local field, kind = text(), text()
      local want
      if kind == 'b' then want = flow() else want = day() end
      want.field = field
      wants[limit] = want
      named[field] = true
    end
    local found = {}
    if #wants > 0 then
      local all = redis.call('HGETALL', hash)
      for i = 1, #all, 2 do found[all[i]] = all[i + 1] end
    end
    for _, want in ipairs(wants) do
      local value, old = found[want.field], nil
      if not value then
        -- The same unit over another time: the limit has changed.
        local unit = string.sub(want.field, 1, 1)
        for field in pairs(found) do
          if string.sub(field, 1, 1) == unit and not named[field] and (not old or field < old) then old = field end
        end
        if old then
          value = found[old]
          named[old] = true
        end
      end
      local state = load(value, want)
      local wait = -1
      if lease then
        local level = state.level or state.used
        want.cost = math.max(0, math.min(want.cost, want.most - level))
        answer[#answer + 1] = want.cost
      elseif state.kind == 'b' then
        local over = state.level + want.cost - want.most
        if over > 0 then wait = over end
      elseif want.cost > want.most - state.used or state.used > want.most then
        wait = state.fin * 1000000 - now
      end
      if wait >= 0 then refused = true end
      if not lease then answer[#answer + 1] = wait end
      changes[#changes + 1] = { key = hash, want = want, state = state, old = old, at = #answer }
      answer[#answer + 1] = 0
      answer[#answer + 1] = 0
    end
  end
  local taken = lease or (ARGV[1] == 'take' and not refused)
  if refused then answer[1] = 2 end
  for _, change in ipairs(changes) do
    local state, want = change.state, change.want
    if taken then
      if state.kind == 'b' then
        state.level = cut(state.level + want.cost)
      else
        state.used = cut(state.used + want.cost)
      end
      if change.old then redis.call('HDEL', change.key, change.old) end
      keep(change.key, want.field, state)
    end
    if state.kind == 'b' then
      answer[change.at + 1] = state.level
    else
      answer[change.at + 1] = state.used
      answer[change.at + 2] = state.fin
    end
  end
  if taken then
    local ms = math.floor(now / 1000)
    for _, slot in ipairs(slots) do
      redis.call('ZREMRANGEBYSCORE', slot.set, '-inf', plain(ms))
      for _, name in ipairs(slot.names) do
        redis.call('ZADD', slot.set, plain(ms + ttl), name)
        redis.call('PEXPIRE', slot.set, plain(ttl + 1000))
      end
      answer[slot.at] = answer[slot.at] + #slot.names
    end
  end
  return answer
end

if ARGV[1] == 'settle' then
  for _ = 1, number() do
    local kind, key, field = text(), KEYS[number()], text()
    if kind == 's' then
      redis.call('ZREM', key, field)
    else
      local want
      if kind == 'b' then want = flow() else want = day() end
      -- What the day was when it was taken: what an earlier day lent is gone with it.
      local then_fin = number()
      local value = redis.call('HGET', key, field)
      if not value and want.cost > 0 and owed_elsewhere(key, field, want) then
        want.cost = 0
      end
      if value or want.cost > 0 then
        local state = value and read(value) or fresh(want, 0)
        if state.kind == want.kind then
          advance(state, want)
          local change = want.cost
          if not same(state, want) then
            if state.kind == 'b' then
              change = change * want.tick / want.per * want.amount / tonumber(state.amount) * tonumber(state.per) / tonumber(state.tick)
            else
              change = change * want.scale / tonumber(state.scale)
            end
            change = math.ceil(change)
          end
          if state.kind == 'b' then
            state.level = cut(math.max(0, state.level + change))
          elseif change > 0 or state.fin == then_fin then
            state.used = cut(math.max(0, state.used + change))
          end
          keep(key, field, state)
        end
      end
    end
  end
  return { 1, now }
end

if ARGV[1] == 'renew' then
  local ttl = number()
  local ms = math.floor(now / 1000)
  for i = 1, #KEYS do
    redis.call('ZADD', KEYS[i], plain(ms + ttl), text())
    redis.call('PEXPIRE', KEYS[i], plain(ttl + 1000))
  end
  return { 1, now }
end

if ARGV[1] == 'probe' then
  -- A replica, or a server that is full, would answer to a look.
  redis.call('SET', KEYS[1], '1', 'PX', '1000')
  return { 1, now }
end

return redis.error_reply('ERR unknown operation')
