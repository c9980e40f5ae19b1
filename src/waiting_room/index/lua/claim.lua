-- Asks to build the line anew: one builder at a time, over all instances. A builder without a sign of life loses it.
-- KEYS: generation, builder, waiting and sum of the line to be built. ARGV: run, the builder's token, ms without a sign, and the
-- generation in use when the caller first asked (empty: now).
-- Returns {1, generation} when the caller is to build, {0, generation} while somebody else does, and {2, generation} when
-- somebody else has done so since the caller first asked. 0 stands for no line.
local generation = tonumber(generation_of(KEYS[1], ARGV[1]) or '0')
if ARGV[4] ~= '' and generation ~= 0 and generation ~= tonumber(ARGV[4]) then return {2, generation} end
local builder = redis.call('GET', KEYS[2])
-- A claim from before the server was started again is void.
if builder and string.match(builder, ' (%w*)$') == ARGV[1] then return {0, generation} end
redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[1], 'PX', ARGV[3])
redis.call('UNLINK', KEYS[3], KEYS[4])
return {1, generation}
