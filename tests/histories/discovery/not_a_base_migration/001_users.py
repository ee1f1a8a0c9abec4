class Migration:
    async def upgrade(self) -> None:
        print("no connection to run anything on")
