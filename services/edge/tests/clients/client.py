"""A client for Python and the package `websockets`: client.py <dialect> <url> [<token for the Authorization header>]"""

import asyncio
import json
import sys

import websockets

# What the documents say about each dialect, as far as this program needs it.
DIALECTS = {
    "sentinelops": {
        "ready": lambda message: message["type"] == "connection.ready",
        "subscribe": {"id": "sub_123", "type": "subscribe", "data": {"events": ["agent.*"]}},
        "confirmed": lambda message: message["type"] == "subscription.confirmed" and message["id"] == "sub_123",
        "is_event": lambda message: message["type"] == "event" and message["event"] == "agent.error",
        "cursor": "id",
        "command": {"id": "cmd_1", "type": "command", "data": {"action": "get_status", "agent_id": "web-1"}},
        "commanded": lambda message: message["type"] == "response" and message["id"] == "cmd_1",
    },
    "freeagentics": {
        "ready": lambda message: message["type"] == "connection_established",
        "subscribe": {"type": "subscribe", "data": {"events": ["agent_updated"], "agents": ["web-1"]}},
        "confirmed": lambda message: message["type"] == "subscription_confirmed",
        "is_event": lambda message: message["type"] == "agent_updated",
        "command": {"type": "command", "data": {"agent_id": "web-1", "command": "get_status"}},
        "commanded": lambda message: message["type"] == "agent_status",
    },
    "aisoc": {
        "subscribe": {"type": "subscribe", "channel": "all"},
        "is_event": lambda message: message["type"] == "case.closed",
    },
    "sentinel_ai": {"is_event": lambda message: message["type"] == "error"},
    "projects": {
        "subscribe": {"type": "subscribe", "channel": "project.p"},
        "is_event": lambda message: message["type"] == "project.completed",
    },
}


async def step(**progress):
    """Tells how far the program is, and waits for leave to go on."""
    print(json.dumps(progress), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def find(websocket, is_wanted):
    """The next message of this sort; others are passed over."""
    async for text in websocket:
        message = json.loads(text)
        if message["type"] == "ping":
            await websocket.send(json.dumps({"type": "pong"}))
        elif is_wanted(message):
            return message
    raise RuntimeError("the connection was closed")


async def connect(spoken, url, headers):
    websocket = await websockets.connect(url, additional_headers=headers)
    if "ready" in spoken:
        await find(websocket, spoken["ready"])
    if "subscribe" in spoken:
        await websocket.send(json.dumps(spoken["subscribe"]))
    if "confirmed" in spoken:
        await find(websocket, spoken["confirmed"])
    return websocket


async def main(dialect, url, bearer=None):
    spoken = DIALECTS[dialect]
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    websocket = await connect(spoken, url, headers)
    await step(at="subscribed")
    first = await find(websocket, spoken["is_event"])
    await step(at="event", message=first)
    # As when a cable is pulled: no close frame.
    websocket.transport.abort()
    await step(at="cut")
    cursor = first[spoken.get("cursor", "cursor")]
    websocket = await connect(spoken, f"{url}{'&' if '?' in url else '?'}cursor={cursor}", headers)
    await step(at="resumed", message=await find(websocket, spoken["is_event"]))
    if "command" in spoken:
        await websocket.send(json.dumps(spoken["command"]))
        await step(at="commanded", message=await find(websocket, spoken["commanded"]))
    await websocket.close()
    await step(at="closed", code=websocket.close_code)


asyncio.run(main(*sys.argv[1:]))
